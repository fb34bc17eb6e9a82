# All tasks of development and CI. `make` without a target lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that is new enough and has venv; PYTHON=... selects another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
CPUS = $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")
# Most tests wait for processes and servers, so twice as many as there are CPUs.
WORKERS ?= $(shell echo $$((2 * $(CPUS))))
ARGS ?=
# Tests run in random order, which finds what depends on it. In CI the files decide it: another run of the same files
# fails, or passes, in the same order.
ORDER = $(if $(CI),$(shell tree=$$(git rev-parse 'HEAD^{tree}' 2>/dev/null) && printf '%s=%d' --randomly-seed 0x$${tree:0:7}))

# Without byte code every process compiles all its modules at start: a second instead of a tenth.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

PIP := $(BIN)/python -m pip --quiet

.PHONY: help setup run test unit simulate check bench chaos attack alerts vault picture docs fmt sbom release lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer with its venv module was found (Debian: apt install python3-venv).' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The runtime dependencies and the `dagway` command. Only hash-checked archives are installed.
$(VENV)/.runtime: requirements.lock steps.lock build.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock -r steps.lock -r build.lock
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# The additional dependencies of development.
$(VENV)/.dev: dev.lock $(VENV)/.runtime
	$(PIP) install --require-hashes -r dev.lock
	@touch $@

# The bundles of the web pages, if npm is installed; the script rebuilds them after a change only.
.PHONY: editor
editor: | $(BIN)/python
	@$(BIN)/python -m scripts.build_editor

# The same for `make run`, which without npm says so once.
$(VENV)/.editor: editor/package-lock.json editor/build.mjs $(wildcard editor/src/*.js services/api/web/*.js services/api/web/views/*.js) | $(BIN)/python
	@$(BIN)/python -m scripts.build_editor
	@touch $@

setup: $(VENV)/.dev editor ## create .venv with everything for development

run: $(VENV)/.runtime $(VENV)/.editor ## run everything, with a copy of the examples (set DAGWAY_PORT=... and others)
	@export DAGWAY_DATA_DIR="$${DAGWAY_DATA_DIR:-.dagway}"; \
	export DAGWAY_DAGS_DIR="$${DAGWAY_DAGS_DIR:-$$DAGWAY_DATA_DIR/dags}"; \
	if test ! -e "$$DAGWAY_DAGS_DIR"; then mkdir -p -m 700 "$$DAGWAY_DATA_DIR" && cp -R examples "$$DAGWAY_DAGS_DIR"; fi; \
	exec $(BIN)/dagway up

test: $(VENV)/.dev ## run all tests; installs missing RabbitMQ and Postgres if it has the rights (ARGS=... for pytest)
	@scripts/ensure-servers
	@$(BIN)/python -m scripts.build_editor
	@$(BIN)/python -m pytest -n $(WORKERS) $(ORDER) $(ARGS)

# Unit tests wait for nothing, and each further process first reads all of them, which takes 8 s.
unit: WORKERS = $(CPUS)
unit: setup ## run the tests that need no server
	@$(BIN)/python -m pytest -n $(WORKERS) tests/unit tests/test_architecture.py $(ARGS)

simulate: setup ## simulate clusters and their faults (SEED=n the first seed, SEEDS=m how many, ARGS=...)
	@$(BIN)/python -m tests.simulation $(or $(SEED),1) $(or $(SEEDS),100) $(ARGS)

check: setup ## check lint, format, types, architecture, dead code, dependencies, documentation
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

bench: setup ## measure Dagway on both deployments, or at a URL (ARGS="--url URL --loads small"); about 15 minutes
	@scripts/ensure-servers
	@$(BIN)/python -m bench $(ARGS)

# SEED gives the same plan of faults again; without it each call makes one of its own. EARLIER is a commit, or `release`
# for the last one, whose code replaces that of single processes for a while, as in a rolling upgrade that is rolled back.
chaos: setup ## random faults on running systems, all deployments (SEED=n MINUTES=m EARLIER=commit, ARGS=... for more)
	@scripts/ensure-servers
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),5) \
		$(if $(EARLIER),--earlier $(EARLIER)) $(ARGS)

alerts: setup ## cause every alert on running systems, receive it, follow its runbook, and see it end
	@scripts/ensure-servers
	@DAGWAY_TEST_ALERTS=all $(BIN)/python -m pytest -n 0 tests/alerts $(ARGS)

picture: setup ## take the README's picture again
	@$(BIN)/python -m tests.ui.picture

attack: setup ## hostile requests, YAML and archives to a running gateway (ROUNDS=n): its memory, and the latency of others
	@scripts/ensure-servers
	@DAGWAY_TEST_ROUNDS=$(or $(ROUNDS),100) $(BIN)/python -m pytest -q -n 0 -s tests/e2e/test_attacks.py

vault: setup ## test the provider vault on a real server too (BAO=the program of OpenBao or Vault)
	@DAGWAY_TEST_VAULT=$(or $(BAO),$(error BAO=... names the program of OpenBao or Vault)) $(BIN)/python -m pytest tests/integration/test_vault.py

docs: setup ## build the documentation that gateways serve at /docs/
	@NO_MKDOCS_2_WARNING=1 SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || date +%s) \
		$(BIN)/python -m mkdocs build --quiet --strict

fmt: setup ## format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

sbom: ## write sbom.json, the list of all packages of a release, from the lock files (CycloneDX)
	@$(PYTHON) scripts/sbom.py > sbom.json && echo sbom.json

release: setup docs ## build wheel, sdist, Helm chart, image definition, SBOM, provenance and checksums of this version into dist
	@$(BIN)/python -m scripts.release

lock: ## rewrite the lock files from pyproject.toml
	@scripts/lock "$(PYTHON)"

clean: ## remove the environment and caches, but not .dagway (data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
