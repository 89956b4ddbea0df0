"""Runs the blocks of a Markdown page as its reader would; CONTRIBUTING.md says how a page is written."""
