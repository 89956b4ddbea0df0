"""Pinned for the whole run by conftest.py, so that no test module's import decides what the others see."""
