"""What enters and leaves the example's API. Limits repeat those of the tables, so OpenAPI says what is enforced."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Day = dt.date
Moment = Annotated[AwareDatetime, Field(examples=["2013-12-31T23:00:00Z"])]
Carrier = Annotated[str, Field(pattern="^[0-9A-Z]{2}$", description="Carrier code", examples=["UA"])]
Faa = Annotated[str, Field(pattern="^[0-9A-Z]{3}$", description="FAA airport code", examples=["JFK"])]
Tailnum = Annotated[str, Field(pattern="^[0-9A-Z]{2,6}$", description="Tail number", examples=["N14228"])]
ClockTime = Annotated[int, Field(ge=0, le=2400, description="Local clock time: hour * 100 + minute", examples=[1830])]
DelayMinutes = Annotated[int, Field(ge=-1440, le=10080, description="Minutes; negative is early", examples=[15])]
Minutes = Annotated[int, Field(ge=1, le=10080, description="Minutes")]
Miles = Annotated[int, Field(ge=1, le=25000, description="Miles")]
FlightNumber = Annotated[int, Field(ge=1, le=9999, description="Flight number")]


class Schema(BaseModel):
    """The root of the example's schemas: readable from model instances."""

    model_config = ConfigDict(from_attributes=True)


class AirlineBrief(Schema):
    """An airline inside another answer."""

    carrier: str
    name: str


class AirlineRead(AirlineBrief):
    """An airline."""


class AirportBrief(Schema):
    """An airport inside another answer."""

    faa: str
    name: str | None


class AirportRead(AirportBrief):
    """An airport; where ``listed`` is false the source only mentions its code."""

    listed: bool
    lat: float | None
    lon: float | None
    alt: int | None = Field(description="Feet")
    tz: int | None = Field(description="Hours from UTC, without daylight saving")
    dst: str | None = Field(description="A: as the United States, U: unknown, N: none")
    tzone: str | None = Field(description="IANA time zone")


class PlaneBrief(Schema):
    """A plane inside another answer."""

    tailnum: str
    manufacturer: str | None
    model: str | None


class PlaneRead(PlaneBrief):
    """A plane; where ``listed`` is false the source only mentions its tail number."""

    listed: bool
    year: int | None
    type: str | None
    engines: int | None
    seats: int | None
    speed: int | None = Field(description="Average cruising speed in miles an hour")
    engine: str | None


class FlightListItem(Schema):
    """A flight in a list: its own columns."""

    id: int
    date: dt.date
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    sched_dep_time: int
    dep_time: int | None
    dep_delay: int | None
    sched_arr_time: int
    arr_time: int | None
    arr_delay: int | None
    air_time: int | None
    distance: int
    time_hour: dt.datetime


class FlightRead(FlightListItem):
    """A flight with what it refers to."""

    airline: AirlineBrief
    plane: PlaneBrief | None
    origin_airport: AirportBrief
    dest_airport: AirportBrief


class FlightUpdate(Schema):
    """A flight as it should be from now on: the plan is required, what happened may follow."""

    date: Day = Field(description="Local date of departure")
    flight: FlightNumber
    tailnum: Tailnum | None = None
    origin: Faa
    dest: Faa
    sched_dep_time: ClockTime
    sched_arr_time: ClockTime
    distance: Miles
    time_hour: Moment = Field(description="Scheduled hour of departure")
    dep_time: ClockTime | None = None
    dep_delay: DelayMinutes | None = None
    arr_time: ClockTime | None = None
    arr_delay: DelayMinutes | None = None
    air_time: Minutes | None = None


class FlightCreate(FlightUpdate):
    """A new flight of an airline."""

    carrier: Carrier


class WeatherRead(Schema):
    """One hour of weather; ``date`` and ``hour`` are local, ``time_hour`` is not."""

    origin: str
    time_hour: dt.datetime
    date: dt.date
    hour: int
    temp: float | None = Field(description="Degrees Fahrenheit")
    dewp: float | None = Field(description="Dew point, degrees Fahrenheit")
    humid: float | None = Field(description="Relative humidity, percent")
    wind_dir: int | None = Field(description="Degrees")
    wind_speed: float | None = Field(description="Miles an hour")
    wind_gust: float | None = Field(description="Miles an hour")
    precip: float = Field(description="Inches")
    pressure: float | None = Field(description="Millibars at sea level")
    visib: float = Field(description="Miles")


class DelayRequest(Schema):
    """By how much a flight will leave later than planned."""

    minutes: int = Field(ge=1, le=1440, description="Minutes to add to the departure delay", examples=[20])
