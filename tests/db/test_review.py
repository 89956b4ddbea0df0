"""Facts that a reviewer found to be otherwise."""

from __future__ import annotations

import pytest

from fastapix5.db import get_session, session_scope
from fastapix5.exceptions import ScopeRequired

pytestmark = pytest.mark.anyio


async def test_a_scope_is_opened_once_at_a_time(database: str) -> None:
    """Else it would be its own outer scope, for ever; one after the other is fine."""
    scope = session_scope()
    async with scope:
        with pytest.raises(RuntimeError, match="open already"):
            async with scope:
                pass
        assert get_session() is get_session()
    with pytest.raises(ScopeRequired):
        get_session()
    async with scope:
        assert get_session() is not None
