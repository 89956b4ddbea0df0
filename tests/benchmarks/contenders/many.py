"""fastapix5 with an only viewset, and with a thousand: what their number costs a request."""

from __future__ import annotations

from fastapi import FastAPI

from fastapix5 import Router, get_default_app, settings
from tests.benchmarks.contenders.common import MANY, POOL_SIZE, database_url
from tests.benchmarks.contenders.viewsets import EmployeeViewSet


def only() -> FastAPI:
    """The application with one viewset."""
    return make_app("employees")


def thousand() -> FastAPI:
    """The application with a thousand viewsets, each with all routes and filters."""
    return make_app(*(f"employees{number}" for number in range(1, MANY + 1)))


def make_app(*names: str) -> FastAPI:
    """Return the application with a viewset of each name."""
    settings.configure(DATABASES={"default": database_url()}, POOL_SIZE=POOL_SIZE)
    router = Router()
    for name in names:
        router.register(EmployeeViewSet, name=name)
    app = get_default_app()
    app.include_router(router)
    return app
