"""Who may change what: airlines are the tenants, and their staff change their own flights only."""

from __future__ import annotations

from typing import Any

from fastapix5 import BasePermission
from fastapix5.access import Access


class IsOwnAirline(BasePermission):
    """The staff of the airline whose flight it is; a token's ``tenant_id`` names their airline."""

    requires_authentication = True

    def has_permission(self, request: Any, view: Any) -> bool:
        """Return whether the caller works for an airline at all, and for the one in the path where there is one."""
        access: Access = view.access
        return access.tenant_id is not None and view.parents.get("airlines", access.tenant_id) == access.tenant_id

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Return whether the flight is the caller's airline's."""
        access: Access = view.access
        return bool(obj.carrier == access.tenant_id)
