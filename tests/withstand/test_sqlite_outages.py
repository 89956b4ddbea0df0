"""Facts about an SQLite file that is locked, gone, or no database: told by 503 in time."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.withstand.databases import prepare
from tests.withstand.problems import check_problem, fine
from tests.withstand.served import Answer, Api, serving
from tests.withstand.test_outages import LOCK_TIMEOUT, READS, REQUESTS, TIMES, WRITES


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the example's data."""
    path = tmp_path_factory.mktemp("doomed") / "flights.sqlite3"
    prepare(url(path))
    return path


@pytest.fixture(scope="module")
def api(file: Path) -> Iterator[Api]:
    """The example on that file."""
    with serving(url(file), **TIMES) as api:
        yield api


def url(path: Path) -> str:
    """How settings name a file."""
    return f"sqlite+aiosqlite:///{path}"


def unavailable(answer: Answer, seconds: float = 3) -> None:
    """Assert that the caller is told in time to come back."""
    assert answer.status == 503, answer.content
    assert answer.seconds < seconds
    assert int(answer.headers["retry-after"]) >= 1
    if answer.content:
        check_problem(answer)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes to the file, and does not finish during the block."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_file_that_another_process_writes_is_told_within_the_lock_timeout_and_a_second(api: Api, file: Path) -> None:
    """To whoever would write, alone and at once; readers are not kept, and afterwards all is as before."""
    fine(api(*WRITES[1]))
    with locked(file):
        for request in WRITES:
            unavailable(api(*request), LOCK_TIMEOUT + 1)
        for answer in api.together(*WRITES, *WRITES):
            unavailable(answer, LOCK_TIMEOUT + 1)
        for request in READS:
            fine(api(*request))
    for answer in api.together(*[WRITES[1], WRITES[2]] * 4):
        fine(answer)
    assert api.state()["lent"] == 0


@pytest.mark.parametrize("what", ["a folder", "no database"])
def test_what_is_no_database_is_told(tmp_path: Path, what: str) -> None:
    """And where it lies is not."""
    path = tmp_path / "file"
    if what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(os.urandom(10_000))
    with serving(url(path), **TIMES) as api:
        for request in REQUESTS:
            answer = api(*request)
            unavailable(answer)
            assert str(tmp_path).encode() not in answer.content


def test_a_file_that_may_only_be_read_is_told_on_writing(file: Path, tmp_path: Path) -> None:
    """It is still read."""
    copy = tmp_path / "flights.sqlite3"
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(copy)) as other:
        connection.backup(other)
    with serving(f"sqlite+aiosqlite:///file:{copy}?mode=ro&uri=true", **TIMES) as api:
        for request in READS:
            fine(api(*request))
        for request in WRITES:
            unavailable(api(*request))


def test_a_file_that_vanishes_and_comes_back_is_served_again(file: Path, tmp_path: Path) -> None:
    """Without a restart."""
    copy, away = tmp_path / "folder" / "flights.sqlite3", tmp_path / "away"
    copy.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(copy)) as other:
        connection.backup(other)
    shutil.move(copy.parent, away)
    with serving(url(copy), **TIMES) as api:
        for request in REQUESTS:
            unavailable(api(*request))
        shutil.move(away, copy.parent)
        for request in READS:
            fine(api(*request))
