"""What type checkers see: mypy reads these modules, and nothing runs them."""
