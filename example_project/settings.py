"""The example's settings. The environment wins: ``DATABASE_URL`` replaces the default database."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent

DATABASES = {"default": f"sqlite+aiosqlite:///{HERE / 'flights.db'}"}

# A demonstration: tokens signed with this published key prove nothing. Set FASTAPIX5_SECRET_KEY anywhere else.
SECRET_KEY = "example-project-key-that-everybody-can-read"  # noqa: S105

DEFAULT_AUTHENTICATION_CLASSES = ["fastapix5.JWTAuthentication"]
