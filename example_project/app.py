"""The example as an ASGI application: ``uvicorn example_project.app:app``."""

from __future__ import annotations

import os

os.environ.setdefault("FASTAPIX5_SETTINGS_MODULE", "example_project.settings")

from example_project.viewsets import router
from fastapix5 import get_default_app

app = get_default_app(
    title="New York flights 2013",
    description="The flights that left New York City in 2013, their airlines, airports, planes and the weather.",
)
app.include_router(router)
