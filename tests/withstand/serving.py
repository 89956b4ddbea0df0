"""A process of its own that serves an application on a socket it was given: ``python -m tests.withstand.serving``."""

from __future__ import annotations

import importlib
import logging
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from fastapix5.db import get_engine


async def state() -> dict[str, Any]:
    """How many connections the pool has lent, and how many it keeps."""
    pool: Any = get_engine().pool
    return {"lent": pool.checkedout(), "kept": pool.checkedin(), "size": pool.size()}


def main(application: str, descriptor: str) -> None:
    """Serve ``module:name`` on an inherited socket until the process is ended."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    module, _, name = application.partition(":")
    app: FastAPI = getattr(importlib.import_module(module), name)
    app.add_api_route("/state", state)
    config = uvicorn.Config(app, log_config=None, access_log=False, backlog=2048, timeout_keep_alive=5)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
