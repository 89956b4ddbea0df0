"""``python -m fastapix5.cli`` is the command ``fastapix5``, where that is not on the PATH."""

from __future__ import annotations

from fastapix5.cli import main

if __name__ == "__main__":
    main()
