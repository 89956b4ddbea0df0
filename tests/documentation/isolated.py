"""Runs each page in a process of its own, which has its imports already: they take longer than the page."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from tests.documentation import flights
from tests.documentation.__main__ import main

__all__ = ["flights", "problem_of"]

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def problem_of(page: Path, timeout: float = 60) -> str | None:
    """What is wrong with a page, or None; warnings are errors, and settings of this process are not the page's."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_run, args=(page, sender))
    process.start()
    sender.close()
    try:
        found: str | None = receiver.recv() if receiver.poll(timeout) else f"It took longer than {timeout} s."
    except EOFError:
        found = "Its process has ended without a word."
    # It stops its servers where it is asked to end.
    process.join(5)
    process.terminate()
    process.join(5)
    process.kill()
    return found


def _run(page: Path, sender: Connection) -> None:
    warnings.simplefilter("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith("FASTAPIX5_") or name == "DATABASE_URL"]:
        del os.environ[name]
    try:
        sender.send(main([str(page)]))
    except BaseException:  # noqa: BLE001  (a page may end in any way)
        sender.send(traceback.format_exc())
