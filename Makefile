# Leadplane: every command a contributor needs. `make` alone lists them.

PYTHON ?= $(or $(shell command -v python3.11),python3)
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := regions shards config controlplane

.DEFAULT_GOAL := help
.PHONY: help install demo test check fuzz twin format rules dashboards alerts drills models prove steps mutants chaos bench pin clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make the virtual environment (again only when its inputs changed)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "install: Leadplane needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "install: making $(VENV) (about half a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "install: done"

demo: install ## start three regions on this machine and watch a failover
	@$(BIN)/leadplane tour --start

test: install check ## everything that must hold: check, then all tests
	@$(BIN)/pytest -q -n $(WORKERS) || $(BIN)/python -m tests.run_again $$?

check: install ## style, types and layering
	@$(BIN)/ruff check --quiet . && echo "check: style"
	@$(BIN)/ruff format --quiet --check . && echo "check: format"
	@$(BIN)/mypy --no-error-summary && echo "check: types"
	@$(BIN)/lint-imports --no-logo && echo "check: layering"

fuzz: install ## requests of every kind, many more than in `make test`: a quarter of an hour
	@LEADPLANE_FUZZ_REQUESTS=$(or $(REQUESTS),50000) LEADPLANE_FUZZ_MUTATIONS=$(or $(MUTATIONS),10000) \
		$(BIN)/pytest -q -n $(WORKERS) --timeout 1800 tests/fuzz

twin: install ## random commands to the scripts on real servers and to their twin: some 1,190 for each of SEEDS; half an hour
	@LEADPLANE_TWIN_SEEDS=$(or $(SEEDS),900) $(BIN)/pytest -q -n 0 -o junit_family=xunit1 \
		--junitxml .pytest_cache/twin.xml tests/conformance/test_random_calls.py
	@grep -o 'name="commands" value="[0-9]*"' .pytest_cache/twin.xml

format: install ## rewrite the source in the one format
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

rules: install ## write the rules for Prometheus, in deploy/prometheus
	@$(BIN)/python -m controlplane.telemetry.rules

dashboards: install ## write the dashboards for Grafana, in deploy/grafana
	@$(BIN)/python -m controlplane.telemetry.dashboards

alerts: install ## break a fleet for every alert, beside a real Prometheus and Alertmanager; six minutes of a machine that does nothing else
	@CI=true $(BIN)/pytest -q -n 1 tests/alerts

drills: install ## inject every failure mode, time what shows it, and record it; half an hour of a machine that does nothing else (TIMES=0.25, not less; ONLY=two_sides)
	@CI=true LEADPLANE_DRILLS_TIMES=$(or $(TIMES),1) LEADPLANE_DRILLS_ONLY=$(ONLY) \
		LEADPLANE_DRILLS_RECORD=docs/results/step-6-drills$(if $(ONLY),-$(ONLY)) \
		$(BIN)/pytest -q -n 0 tests/drills$(if $(ONLY),/test_$(ONLY).py)

models: install ## explore the protocol's models exhaustively, and each planted mistake
	@$(BIN)/python -m tests.models.run_models

prove: install ## a slice of the campaign of simulation (MINUTES=60 at most); ledger in docs/results
	@$(BIN)/python -m tests.prove.run_prove --minutes $(or $(MINUTES),60) --processes $(WORKERS)

steps: install ## strike the global leader at every step of every change; an hour of one processor (ONLY=split)
	@$(BIN)/python -m tests.steps.run_steps $(if $(ONLY),--only "$(ONLY)")

mutants: install ## take every rule away once, in a copy, and keep what noticed; a quarter of an hour
	@$(BIN)/python -m tests.rules.score

chaos: install ## break real fleets in every way there is, and record it: a quarter of an hour (LASTS=60 READS=0.9)
	@$(BIN)/leadplane chaos run all --missing $(if $(LASTS),--lasts $(LASTS)) $(if $(READS),--reads $(READS)) \
		--record docs/results/step-2-chaos

bench: install ## measure, with the peer beside us in the same run
	@$(BIN)/leadplane bench

pin: install ## move every dependency to its newest version, and pin it
	@$(BIN)/python -m pip install -qq --upgrade --upgrade-strategy eager -e '.[dev,docker]'
	@{ echo "# The exact versions the project is built and tested with. Refresh: make pin"; \
		$(BIN)/python -m pip freeze --exclude-editable | grep -E '^[^ ]+==[^ ]+$$' | sort -f; \
		} > constraints.txt
	@touch $(STAMP)

clean: ## remove the environment and everything generated
	@rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
