# Every target sets itself up: the only needs are make and Python 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format bench soak-streams requirements clean

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q $(VENV)/lib || true
	touch $(STAMP)

demo: $(STAMP)  ## a guided tour on the built-in simulator
	$(BIN)/ccxt-mcp demo

test: check  ## everything that CI runs
	$(BIN)/python tests/protocol/node.py
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP)  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## ratios against a baseline measured in the same run
	$(BIN)/python -m bench

soak-streams: $(STAMP)  ## 200 live streams: nothing may grow, and they cost little more than bare ccxt.pro
	$(BIN)/python -m bench.soak_streams

requirements: $(STAMP)  ## pin what pyproject.toml asks for; records no download addresses
	$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements-dev.txt requirements-dev.in

clean:
	rm -rf $(VENV) build dist
