# Everything a person or CI does with this project. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that is new enough and can make an environment; name another with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
ARGS ?=

# Without bytecode every start of a process compiles all its modules again: a second instead of a tenth.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

PIP := $(BIN)/python -m pip --quiet

.PHONY: help setup run test unit check bench fmt lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer with its venv module was found (Debian: apt install python3-venv).' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What running needs, and the `dagway` command itself. Only hash-checked archives are installed.
$(VENV)/.runtime: requirements.lock steps.lock build.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock -r steps.lock -r build.lock
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# What developing needs on top.
$(VENV)/.dev: dev.lock $(VENV)/.runtime
	$(PIP) install --require-hashes -r dev.lock
	@touch $@

setup: $(VENV)/.dev ## make .venv with everything a developer needs

run: $(VENV)/.runtime ## run everything in one process, with a copy of the examples (DAGWAY_PORT=... and so on change it)
	@export DAGWAY_DATA_DIR="$${DAGWAY_DATA_DIR:-.dagway}"; \
	export DAGWAY_DAGS_DIR="$${DAGWAY_DAGS_DIR:-$$DAGWAY_DATA_DIR/dags}"; \
	if test ! -e "$$DAGWAY_DAGS_DIR"; then mkdir -p "$$DAGWAY_DATA_DIR" && cp -R examples "$$DAGWAY_DAGS_DIR"; fi; \
	exec $(BIN)/dagway up

test: setup ## run all tests; installs RabbitMQ and Postgres if they are missing and it may (ARGS=... for pytest)
	@scripts/ensure-servers
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

unit: setup ## run only the tests that need no server
	@$(BIN)/python -m pytest tests/unit tests/test_architecture.py $(ARGS)

check: setup ## lint, format, types, architecture, dead code, dependencies
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

bench: setup ## time the hops of a run and the throughput, on both footings
	@scripts/ensure-servers
	@$(BIN)/python -m bench $(ARGS)

fmt: setup ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: ## write the lock files anew from pyproject.toml
	@scripts/lock "$(PYTHON)"

clean: ## remove the environment and caches (not .dagway: that is data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
