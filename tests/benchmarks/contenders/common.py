"""What every contender is given: its database, its pool and, where it checks them, the key of the tokens."""

from __future__ import annotations

import os

# As many connections as the load generator has, so that nobody waits for the pool; it is fastapix5's own default.
POOL_SIZE = 10

# Published with the benchmark: it proves nothing, and checking it costs what checking a secret one costs.
SECRET_KEY = "benchmark-key-that-everybody-can-read-0123456789"

# How many viewsets are many.
MANY = 1000

READ, WRITE = "employees.read", "employees.write"


def database_url() -> str:
    """The database, as SQLAlchemy names it."""
    return os.environ["DATABASE_URL"]
