# Two commands are all that a newcomer needs: `make run` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help run test check bench format docs lock clean
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-stamp
DEV_STAMP := $(VENV)/.dev-stamp
NPM_STAMP := node_modules/.stamp
SYSTEM_STAMP := $(VENV)/.system-stamp

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

run: $(RUN_STAMP) ## set everything up and run the plant until Ctrl-C
	@echo "==> starting the plant; Ctrl-C stops it"
	@exec $(BIN)/python -m server

test: $(DEV_STAMP) $(SYSTEM_STAMP) $(NPM_STAMP) ## set everything up and run all tests, or those of ARGS
ifdef ARGS
	@echo "==> running the tests $(ARGS)"
	@$(BIN)/python -m pytest $(ARGS)
else
	@echo "==> running the tests, two files at a time"
	@$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/system
	@echo "==> running the system tests, one at a time: outages of a minute"
	@$(BIN)/python -m pytest tests/system
endif

check: $(DEV_STAMP) ## formatting, lint, types, architecture, keys, generated files
	@echo "==> ruff"
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@echo "==> pyright"
	@$(BIN)/pyright
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-cache
	@echo "==> keys and secrets"
	@$(PYTHON) scripts/check_secrets.py
	@echo "==> generated files"
	@$(BIN)/python -m scripts.generated --check

bench: $(DEV_STAMP) $(NPM_STAMP) ## measure beside asyncua, node-opcua, open62541 and others; rewrites bench/RESULTS.md
	@echo "==> running the benches: some minutes"
	@$(BIN)/python -m bench $(ARGS)

format: $(DEV_STAMP) ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

docs: $(DEV_STAMP) ## write the generated files anew
	@$(BIN)/python -m scripts.generated

lock: $(DEV_STAMP) ## resolve pyproject.toml into the hashed lock files anew
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 --no-header -q -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 --no-header -q -o requirements-dev.lock

clean: ## remove what the other commands made; data/ and certs/ stay
	@rm -rf $(VENV) node_modules .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "error: Plantree needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "==> making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "error: no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(RUN_STAMP): requirements.lock | $(BIN)/python
	@echo "==> installing what the server needs (pinned and hashed)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
	  || { echo "error: the packages could not be installed; is the package index reachable?" >&2; exit 1; }
	@touch $@

$(DEV_STAMP): requirements-dev.lock | $(BIN)/python
	@echo "==> installing what tests and checks need (pinned and hashed)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock \
	  || { echo "error: the packages could not be installed; is the package index reachable?" >&2; exit 1; }
	@touch $@ $(RUN_STAMP)

$(SYSTEM_STAMP): scripts/system_packages.sh | $(BIN)/python
	@bash scripts/system_packages.sh
	@touch $@

$(NPM_STAMP): package-lock.json
	@command -v npm >/dev/null || { echo "error: the tests need node and npm; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	@echo "==> installing the OPC UA client of another stack (npm ci)"
	@npm ci --silent --no-audit --no-fund \
	  || { echo "error: npm ci failed; is the npm registry reachable?" >&2; exit 1; }
	@touch $@
