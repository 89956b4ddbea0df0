"""The example in this process: its settings, for its own tests only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from example_project import settings as example_settings
from fastapix5 import override_settings

SETTINGS = {name: value for name, value in vars(example_settings).items() if name.isupper() and name != "HERE"}


@pytest.fixture(autouse=True)
def example_project_settings() -> Iterator[None]:
    """The example's settings, whatever the environment says of others."""
    with override_settings(**SETTINGS):
        yield


@pytest.fixture
def example_app(example_project_settings: None) -> FastAPI:
    """The example, compiled under its own settings when it is first imported."""
    from example_project.app import app

    return app
