"""Every private name of FastAPI and Starlette that ``endpoints`` and ``routers`` use; each test fails when one moves.

FastAPI is pinned to the minor version that they were written for: read its changes before moving the pin.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from fastapix5.endpoints import ViewSetRoute
