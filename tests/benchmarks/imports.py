"""What importing the package costs: ``python -m tests.benchmarks.imports [rounds]``.

Each import has a process of its own, and they take turns. The figures are processor time within the process, without the
start of Python: the median, the least, and the median of what an import takes of the first one's time in the same round.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

BASE = "import fastapi, sqlalchemy.ext.asyncio"
OURS = (
    "import fastapix5",
    "from fastapix5 import session_scope, Repository",
    "from fastapix5 import ModelViewSet, Router, setup",
)
ROUNDS = 20

# Bytecode is written by the first round, whatever the shell says.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def import_time(code: str) -> float:
    """How many milliseconds of processor time a new process needs to import something."""
    timing = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", timing], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return float(done.stdout) * 1000


def print_imports(rounds: int) -> None:
    """Compare imports."""
    codes = (BASE, *OURS)
    for code in codes:
        import_time(code)
    times = [[import_time(code) for code in codes] for _ in range(rounds)]
    print("| import | median, ms | least, ms | against the first |\n|---|---|---|---|")  # noqa: T201
    for at, code in enumerate(codes):
        found = [row[at] for row in times]
        ratio = median(row[at] / row[0] for row in times)
        print(f"| `{code}` | {median(found):.0f} | {min(found):.0f} | {ratio:.2f} |")  # noqa: T201


if __name__ == "__main__":
    print_imports(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
