PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
SEED ?=
SEEDS ?= 1000
DOCUMENTS ?= 50000
JOBS ?= 1
PYTEST_ARGS ?=
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml

export PYTHONHASHSEED := 0

CHECKS := check-style check-types check-layers check-determinism check-sql check-secrets check-units

.DEFAULT_GOAL := help
.PHONY: help setup run test kit check $(CHECKS) format simulate amazon-day marathon crashes kill powercuts real-odoo bench mutants defects lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with exactly what the lock names

run: $(STAMP) ## run the demo: make run ARGS="..."
	$(BIN)/marketsync demo $(ARGS)

test: $(STAMP) ## run the tests: make test PYTEST_ARGS="tests/unit -k money"
	$(BIN)/python -m pytest $(PYTEST_ARGS)

kit: $(STAMP) ## judge the adapters by the conformance kit: make kit ARGS="mirakl -k confirm"
	$(BIN)/python -m marketsync.kit $(ARGS)

check: $(CHECKS) ## style, types, layers, determinism, SQL, secrets, systemd units

check-style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(STAMP)
	$(BIN)/mypy

check-layers: $(STAMP)
	$(BIN)/lint-imports

check-determinism: $(STAMP)
	$(BIN)/python -m tools.lint_determinism

check-sql: $(STAMP)
	$(BIN)/python -m tools.lint_sql

check-secrets: $(STAMP)
	$(BIN)/python -m tools.lint_secrets

check-units: $(STAMP)
	$(BIN)/python -m tools.check_units

format: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

simulate: $(STAMP) ## run the daemon in simulated worlds: SEEDS=1000, or one SEED=42; ARGS=--vendors: Amazon, eBay, Mirakl; ARGS="--town shops": two shops
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --jobs $(JOBS)) $(ARGS)

amazon-day: $(STAMP) ## 2,000 orders in a day of Amazon, with and without hints: budgets kept, seconds to the shop
	$(BIN)/python -m tests.simulation.day $(ARGS)

marathon: $(STAMP) ## 20,000 seeds, for a night: JOBS=2
	$(BIN)/python -m tests.simulation --seeds 20000 --jobs $(JOBS) $(ARGS)

crashes: $(STAMP) ## crash at every I/O boundary of five scenes and every await of the first: JOBS=2
	$(BIN)/python -m tests.simulation --boundaries --jobs $(JOBS) $(ARGS)
	$(BIN)/python -m tests.simulation --awaits --jobs $(JOBS) $(ARGS)

fuzz: $(STAMP) ## mutated documents through the adapters: DOCUMENTS=50000 for each
	$(BIN)/python -m tests.fuzz --documents $(DOCUMENTS) $(ARGS)

kill: $(STAMP) ## kill -9 real processes at named points and look for what was lost
	$(BIN)/python -m tests.acceptance.kill $(ARGS)

powercuts: $(STAMP) ## cut the power under the real store, fill its disk, break it: one again by ARGS="--cut NAME"
	$(BIN)/python -m tests.powercut $(ARGS)

real-odoo: $(STAMP) ## a real Odoo 19 on loopback, set up once in build/odoo: steps against the simulated one, then 200 orders with kills
	$(BIN)/python -m tools.real_odoo $(ARGS)

bench: $(STAMP) ## CPU against a hand-written floor, measured in the same run
	$(BIN)/python -m tests.bench $(ARGS)

mutants: $(STAMP) ## plant known defects; each must be caught by the tests of its rule
	$(BIN)/python -m tests.simulation.mutants $(ARGS)

defects: $(STAMP) ## plant known defects; the simulation must see each
	$(BIN)/python -m tests.simulation.defects $(ARGS)

lock: $(STAMP) ## resolve the dependencies anew; UPGRADE=1 takes newer ones
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra hints --extra postgres --output-file requirements.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra postgres --extra dev --output-file requirements-dev.lock

clean: ## remove what was built, .venv too
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "marketsync needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment: on Debian, install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --only-binary :all: -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
