"""The ledger while somebody listens to every statement: nothing goes past SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from tests.withstand.ledger import app

__all__ = ["app"]


@event.listens_for(Engine, "before_cursor_execute")
def _listen(*_: Any) -> None:
    """Hear it."""
