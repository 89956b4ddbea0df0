"""The five tables of the flights that left New York City in 2013.

Revises: nothing
Created: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, each before those that refer to it."""
    op.create_table(
        "airlines",
        sa.Column("carrier", sa.String(length=2), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("carrier", name=op.f("pk_airlines")),
    )
    op.create_table(
        "airports",
        sa.Column("faa", sa.String(length=3), nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("name", sa.String(length=100)),
        sa.Column("lat", sa.Double()),
        sa.Column("lon", sa.Double()),
        sa.Column("alt", sa.Integer()),
        sa.Column("tz", sa.Integer()),
        sa.Column("dst", sa.String(length=1)),
        sa.Column("tzone", sa.String(length=40)),
        sa.CheckConstraint(
            "NOT listed OR (name IS NOT NULL AND lat IS NOT NULL AND lon IS NOT NULL"
            " AND alt IS NOT NULL AND tz IS NOT NULL AND dst IS NOT NULL)",
            name=op.f("ck_airports_listed_complete"),
        ),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_airports_lat_range")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_airports_lon_range")),
        sa.CheckConstraint("tz BETWEEN -12 AND 14", name=op.f("ck_airports_tz_range")),
        sa.PrimaryKeyConstraint("faa", name=op.f("pk_airports")),
    )
    op.create_index("ix_airports_name", "airports", ["name"])

    op.create_table(
        "planes",
        sa.Column("tailnum", sa.String(length=6), nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("year", sa.Integer()),
        sa.Column("type", sa.String(length=40)),
        sa.Column("manufacturer", sa.String(length=40)),
        sa.Column("model", sa.String(length=40)),
        sa.Column("engines", sa.Integer()),
        sa.Column("seats", sa.Integer()),
        sa.Column("speed", sa.Integer()),
        sa.Column("engine", sa.String(length=20)),
        sa.CheckConstraint(
            "NOT listed OR (type IS NOT NULL AND manufacturer IS NOT NULL AND model IS NOT NULL"
            " AND engines IS NOT NULL AND seats IS NOT NULL AND engine IS NOT NULL)",
            name=op.f("ck_planes_listed_complete"),
        ),
        sa.CheckConstraint("engines > 0", name=op.f("ck_planes_engines_positive")),
        sa.CheckConstraint("seats > 0", name=op.f("ck_planes_seats_positive")),
        sa.CheckConstraint("speed > 0", name=op.f("ck_planes_speed_positive")),
        sa.PrimaryKeyConstraint("tailnum", name=op.f("pk_planes")),
    )
    op.create_index("ix_planes_manufacturer", "planes", ["manufacturer"])

    op.create_table(
        "flights",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("carrier", sa.String(length=2), nullable=False),
        sa.Column("flight", sa.Integer(), nullable=False),
        sa.Column("tailnum", sa.String(length=6)),
        sa.Column("origin", sa.String(length=3), nullable=False),
        sa.Column("dest", sa.String(length=3), nullable=False),
        sa.Column("sched_dep_time", sa.Integer(), nullable=False),
        sa.Column("dep_time", sa.Integer()),
        sa.Column("dep_delay", sa.Integer()),
        sa.Column("sched_arr_time", sa.Integer(), nullable=False),
        sa.Column("arr_time", sa.Integer()),
        sa.Column("arr_delay", sa.Integer()),
        sa.Column("air_time", sa.Integer()),
        sa.Column("distance", sa.Integer(), nullable=False),
        sa.Column("time_hour", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("air_time > 0", name=op.f("ck_flights_air_time_positive")),
        sa.CheckConstraint("arr_time BETWEEN 0 AND 2400", name=op.f("ck_flights_arr_time_range")),
        sa.CheckConstraint("dep_time BETWEEN 0 AND 2400", name=op.f("ck_flights_dep_time_range")),
        sa.CheckConstraint("distance > 0", name=op.f("ck_flights_distance_positive")),
        sa.CheckConstraint("flight > 0", name=op.f("ck_flights_flight_positive")),
        sa.CheckConstraint("sched_arr_time BETWEEN 0 AND 2400", name=op.f("ck_flights_sched_arr_time_range")),
        sa.CheckConstraint("sched_dep_time BETWEEN 0 AND 2400", name=op.f("ck_flights_sched_dep_time_range")),
        sa.ForeignKeyConstraint(["carrier"], ["airlines.carrier"], name=op.f("fk_flights_carrier_airlines")),
        sa.ForeignKeyConstraint(["dest"], ["airports.faa"], name=op.f("fk_flights_dest_airports")),
        sa.ForeignKeyConstraint(["origin"], ["airports.faa"], name=op.f("fk_flights_origin_airports")),
        sa.ForeignKeyConstraint(["tailnum"], ["planes.tailnum"], name=op.f("fk_flights_tailnum_planes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flights")),
        sa.UniqueConstraint("carrier", "flight", "origin", "date", name=op.f("uq_flights_carrier_flight_origin_date")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_flights_date_sched_dep_time", "flights", ["date", "sched_dep_time"])
    op.create_index("ix_flights_dep_delay", "flights", ["dep_delay"])
    op.create_index("ix_flights_dest", "flights", ["dest"])
    op.create_index("ix_flights_origin", "flights", ["origin"])
    op.create_index("ix_flights_tailnum", "flights", ["tailnum"])
    op.create_index("ix_flights_time_hour", "flights", ["time_hour"])

    op.create_table(
        "weather",
        sa.Column("origin", sa.String(length=3), nullable=False),
        sa.Column("time_hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("temp", sa.Double()),
        sa.Column("dewp", sa.Double()),
        sa.Column("humid", sa.Double()),
        sa.Column("wind_dir", sa.Integer()),
        sa.Column("wind_speed", sa.Double()),
        sa.Column("wind_gust", sa.Double()),
        sa.Column("precip", sa.Double(), nullable=False),
        sa.Column("pressure", sa.Double()),
        sa.Column("visib", sa.Double(), nullable=False),
        sa.CheckConstraint("hour BETWEEN 0 AND 23", name=op.f("ck_weather_hour_range")),
        sa.CheckConstraint("humid BETWEEN 0 AND 100", name=op.f("ck_weather_humid_range")),
        sa.CheckConstraint("precip >= 0", name=op.f("ck_weather_precip_not_negative")),
        sa.CheckConstraint("visib >= 0", name=op.f("ck_weather_visib_not_negative")),
        sa.CheckConstraint("wind_dir BETWEEN 0 AND 360", name=op.f("ck_weather_wind_dir_range")),
        sa.CheckConstraint("wind_gust >= 0", name=op.f("ck_weather_wind_gust_not_negative")),
        sa.CheckConstraint("wind_speed >= 0", name=op.f("ck_weather_wind_speed_not_negative")),
        sa.ForeignKeyConstraint(["origin"], ["airports.faa"], name=op.f("fk_weather_origin_airports")),
        sa.PrimaryKeyConstraint("origin", "time_hour", name=op.f("pk_weather")),
    )
    op.create_index("ix_weather_time_hour", "weather", ["time_hour"])


def downgrade() -> None:
    """Drop the tables, each after those that refer to it."""
    for table in ("weather", "flights", "planes", "airports", "airlines"):
        op.drop_table(table)
