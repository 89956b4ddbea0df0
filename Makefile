# `make` shows what there is. Needs Python 3.11 or later; everything else is installed into .venv.
# make bench ONLY=fastapix5,handwritten ROWS=retrieve,create ROUNDS=5 SECONDS=3 measures less, or more.
# PYTHON=python3.12 chooses the interpreter of a new .venv; DATABASE_URL=postgresql+asyncpg://... the demo's database.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Every editable install would otherwise be told, at length, that it is one.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --no-input
SOURCES := fastapix5 example_project tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow bench profile lint format clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## load the flights of 2013 into a database and serve them on http://127.0.0.1:8000
	@$(BIN)/python example_project/manage.py serve

test: $(VENV)/.test ## run the tests on SQLite and on a PostgreSQL that they start and stop
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile $(ARGS)

test-slow: $(VENV)/.test ## run the tests that take minutes or download
	$(BIN)/python -m pytest -m slow $(ARGS)

bench: ROUNDS ?= 3
bench: SECONDS ?= 2
# A part of the table is printed only.
bench: WRITE ?= $(if $(ONLY)$(ROWS),,--write)
bench: $(VENV)/.bench ## measure against hand-written endpoints and other frameworks, and write the tables into docs/
	@$(BIN)/python -m tests.benchmarks run --only '$(ONLY)' --rows '$(ROWS)' --rounds $(ROUNDS) --seconds $(SECONDS) $(WRITE)

profile: WORK ?= retrieve
profile: ONLY ?= fastapix5
profile: SECONDS ?= 5
profile: $(VENV)/.bench ## show where a server spends its time under load; WORK=create ONLY=handwritten name others
	@$(BIN)/python -m tests.benchmarks profile --work '$(WORK)' --only '$(ONLY)' --seconds $(SECONDS)

lint: $(VENV)/.lint ## check style and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy --strict $(SOURCES)

format: $(VENV)/.lint ## put the code into its style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove the virtual environment, caches, builds and the demo's data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	rm -rf example_project/.data example_project/flights.db*
	find $(SOURCES) -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here: install Python 3.11 or later, or name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version) is too old: Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	@rm -rf $(VENV)
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment (above is why). On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.made
	@echo "Installing fastapix5 ..."
	@$(PIP) install --quiet --editable '.[cli]'
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.made
	@echo "Installing fastapix5 and what its tests need ..."
	@$(PIP) install --quiet --editable '.[cli]' --group test
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.made
	@echo "Installing fastapix5 and what it is measured against ..."
	@$(PIP) install --quiet --editable '.[cli]' --group bench
	@touch $@

$(VENV)/.lint: pyproject.toml $(VENV)/.test
	@echo "Installing what checks the code ..."
	@$(PIP) install --quiet --group lint
	@touch $@
