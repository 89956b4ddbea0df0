"""The API of the example: five viewsets, and flights once more below their airline and below their airport."""

from __future__ import annotations

from example_project.models import Airline, Airport, Flight, Plane, Weather
from example_project.permissions import IsOwnAirline
from example_project.schemas import (
    AirlineRead,
    AirportRead,
    DelayRequest,
    FlightCreate,
    FlightListItem,
    FlightRead,
    FlightUpdate,
    PlaneRead,
    WeatherRead,
)
from fastapix5 import (
    Action,
    AllowAny,
    AnonRateThrottle,
    CreateModelMixin,
    DestroyModelMixin,
    FilterSetBackend,
    HasScope,
    LimitOffsetPagination,
    OrderingFilter,
    ReadOnlyModelViewSet,
    Router,
    RouterSchema,
    SearchFilter,
    Service,
    UpdateModelMixin,
    UserRateThrottle,
    action,
)

FILTERS = [FilterSetBackend, SearchFilter, OrderingFilter]


class AirlineViewSet(ReadOnlyModelViewSet[Airline]):
    """The sixteen airlines that flew from New York City in 2013."""

    read_schema = AirlineRead
    permission_classes = [AllowAny]
    filter_backends = FILTERS
    filterset_fields = {"carrier": ["exact", "in"], "name": ["icontains"]}
    search_fields = ["=carrier", "name"]
    ordering_fields = ["carrier", "name"]


class AirportViewSet(ReadOnlyModelViewSet[Airport]):
    """Airports in the United States, and four more that flights went to."""

    read_schema = AirportRead
    permission_classes = [AllowAny]
    filter_backends = FILTERS
    filterset_fields = {"listed": ["exact"], "tzone": ["exact", "isnull"], "alt": ["gte", "lte"], "name": ["icontains"]}
    search_fields = ["=faa", "name"]
    ordering_fields = ["faa", "name", "alt"]


class PlaneViewSet(ReadOnlyModelViewSet[Plane]):
    """The planes that flew."""

    read_schema = PlaneRead
    permission_classes = [AllowAny]
    filter_backends = FILTERS
    filterset_fields = {"manufacturer": ["exact", "in"], "seats": ["gte", "lte"], "year": ["exact", "isnull", "range"]}
    search_fields = ["^tailnum", "manufacturer", "model"]
    ordering_fields = ["year", "seats", "tailnum"]
    pagination_class = LimitOffsetPagination


class WeatherViewSet(ReadOnlyModelViewSet[Weather]):
    """The weather at the three airports, hour by hour; an hour's key is ``JFK,2013-01-01T06:00:00Z``."""

    read_schema = WeatherRead
    permission_classes = [AllowAny]
    filter_backends = FILTERS
    filterset_fields = {
        "origin": ["exact"],
        "time_hour": ["gte", "lt"],
        "wind_gust": ["isnull", "gte"],
        "visib": ["lt"],
    }
    ordering_fields = ["time_hour", "temp", "wind_speed"]
    ordering = ["time_hour"]


class FlightService(Service[Flight]):
    """What an airline does with its flights."""

    async def delay(self, flight: Flight, minutes: int) -> Flight:
        """Let a flight leave ``minutes`` later than it would have, and return it."""
        return await self.update(flight, {"dep_delay": (flight.dep_delay or 0) + minutes})


class FlightViewSet(UpdateModelMixin, DestroyModelMixin, ReadOnlyModelViewSet[Flight]):
    """The flights that left New York City in 2013."""

    read_schema = FlightRead
    list_schema = FlightListItem
    update_schema = FlightUpdate
    service_class = FlightService
    permission_classes = {
        Action.LIST: [AllowAny],
        Action.RETRIEVE: [AllowAny],
        ...: [HasScope("flights.write") & IsOwnAirline],
    }
    throttle_classes = [AnonRateThrottle("100000/hour"), UserRateThrottle("100000/hour")]
    filter_backends = FILTERS
    filterset_fields = {
        "date": ["exact", "gte", "lte"],
        "carrier": ["exact", "in"],
        "origin": ["exact", "in"],
        "dest": ["exact", "in"],
        "tailnum": ["exact", "isnull"],
        "dep_delay": ["gte", "lte", "isnull"],
        "distance": ["range"],
        "dest_airport__name": ["icontains"],
    }
    allow_hidden = ["dest_airport__name", "airline__name"]
    search_fields = ["^tailnum", "airline__name", "dest_airport__name"]
    ordering_fields = ["date", "dep_delay", "distance", "sched_dep_time"]
    ordering = ["date", "sched_dep_time"]

    @action(detail=True, methods=["POST"])
    async def delay(self, body: DelayRequest) -> FlightRead:
        """Delay a flight by some minutes more."""
        flight = await self.get_object()
        return await self.service.delay(flight, body.minutes)  # type: ignore[no-any-return]


class AirlineFlightViewSet(CreateModelMixin, FlightViewSet):
    """An airline's flights; new ones are added here, so that the path says whose they are."""

    create_schema = FlightCreate


router = Router(prefix="/api")
router.register(
    RouterSchema(viewset=AirlineViewSet, children=[RouterSchema(viewset=AirlineFlightViewSet)]),
)
router.register(
    RouterSchema(
        viewset=AirportViewSet,
        children=[
            RouterSchema(name="departures", viewset=FlightViewSet, parent_field="origin"),
            RouterSchema(viewset=WeatherViewSet),
        ],
    ),
)
router.register(PlaneViewSet)
router.register(FlightViewSet)
router.register(WeatherViewSet)
