"""What the generated OpenAPI says is what the example does: schemathesis finds no difference."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from example_project.models import Airport, Flight, Plane, Weather
from fastapix5 import QuerySet, override_settings, session_scope
from fastapix5.db import dispose_engines
from fastapix5.tokens import encode
from tests.example.serving import ROOT, environment, load, served

AIRLINE = "UA"


async def existing_keys() -> dict[str, list[object]]:
    """Keys that the excerpt has, by what they name."""
    try:
        async with session_scope():
            weather = await QuerySet(Weather).all()
            return {
                "own_airline": [AIRLINE],
                "origins": ["EWR", "JFK", "LGA"],
                "airports": [airport.faa for airport in await QuerySet(Airport).all()],
                "planes": [plane.tailnum for plane in await QuerySet(Plane).all()],
                "flights": [flight.id for flight in await QuerySet(Flight).filter(carrier=AIRLINE).all()],
                "weather": [f"{hour.origin},{hour.time_hour:%Y-%m-%dT%H:%M:%SZ}" for hour in weather],
            }
    finally:
        await dispose_engines()


def run_schemathesis(url: str, folder: Path, examples: int) -> subprocess.CompletedProcess[str]:
    """Run every phase and every check, with positive and negative data."""
    load(url)
    with override_settings(DATABASES={"default": url}):
        keys = folder / "keys.json"
        keys.write_text(json.dumps(asyncio.run(existing_keys())))
        token = encode({"sub": "ada", "tenant_id": AIRLINE, "scope": "flights.write"})
    hooks = {"EXISTING_KEYS": str(keys), "SCHEMATHESIS_HOOKS": "tests.example.schemathesis_hooks"}
    with served(url, folder / "server.log") as address:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{address}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {token}", "--checks", "all", "--mode", "all"]
        command += ["--max-examples", str(examples), "--continue-on-failure", "--no-color"]
        return subprocess.run(
            command, cwd=ROOT, env={**environment(url), **hooks}, capture_output=True, text=True, check=False
        )


def check(url: str, folder: Path, examples: int) -> None:
    """Fail with schemathesis' own report where it found something; else print its counts."""
    finished = run_schemathesis(url, folder, examples)
    assert finished.returncode == 0, f"{finished.stdout[-8000:]}\n{finished.stderr[-2000:]}"
    assert "Tested: 29" in finished.stdout, finished.stdout[-2000:]
    sys.stdout.write(finished.stdout[finished.stdout.index("SUMMARY") :])


def test_schemathesis_finds_no_failure(database_url: str, tmp_path: Path) -> None:
    """A short run of every phase: enough for the boundaries of every parameter, in either mode."""
    check(database_url, tmp_path, examples=5)


@pytest.mark.slow
def test_schemathesis_finds_no_failure_in_200_examples_of_each_operation(database_url: str, tmp_path: Path) -> None:
    """The long run, with at least 200 examples of each operation."""
    check(database_url, tmp_path, examples=200)
