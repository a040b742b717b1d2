# Everything a developer runs. Needs only make and Python 3.11 or newer; each target does its own set-up.
#
#   make demo    install what a user needs into .venv and run the demonstration (under a minute)
#   make test    install the development tools and run every test but the slow ones
#   make lint    ruff, mypy --strict and the dependency arrows
#   make help    the rest

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first usable Python wins (python3 itself where none is, for the message); `make PYTHON=/path/to/python3` chooses.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
    "$$p" -c '$(USABLE)' 2>/dev/null && echo "$$p" && exit; done; echo python3)
ARGS ?=

# The matrices here are small: several BLAS threads cost more in waking up than they save, and make timings wander.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test coverage test-slow test-freqtrade lint format docs dist bench constraints clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(VENV)/.user  ## replay real scans in three orders side by side; ARGS="--quick" for ten seconds
	@$(BIN)/scanrank demo $(ARGS)

test: $(VENV)/.dev  ## run every test but the slow ones in two processes; ARGS="-k name" narrows it
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# Apart from `test`, because tracing every line takes a third longer.
coverage: $(VENV)/.dev  ## the same, and print which lines no test runs
	@$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

test-slow: $(VENV)/.dev  ## run the slow tests only
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-freqtrade: $(VENV)/.dev  ## build an environment with freqtrade in it, and run its own classes
	@test -d .freqtrade || python3 -m venv .freqtrade
	@.freqtrade/bin/pip install --quiet freqtrade .
	@SCANRANK_FREQTRADE_PYTHON=$(CURDIR)/.freqtrade/bin/python $(BIN)/python -m pytest -m slow tests/integration/freqtrade $(ARGS)

lint: $(VENV)/.dev  ## check style, types and the dependency arrows
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## rewrite the code in the project's style
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

docs: $(VENV)/.dev  ## build the documentation into build/docs, warnings as errors
	@$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs build/docs
	@echo "build/docs/index.html"

dist: $(VENV)/.dev  ## build the wheel and the source distribution into dist
	@$(BIN)/python -m build --outdir dist .

# The peers of the comparison are not needed for anything else.
$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing the peers of the comparison"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(VENV)/.bench  ## run every benchmark and write benchmarks/REPORT.md; one alone: make bench NAME=quality ARGS="--jobs 2"
	@$(BIN)/python -m benchmarks.$(or $(NAME),report) $(ARGS)

constraints:  ## resolve every dependency anew in a clean environment and rewrite both constraints files
	@sh tools/update_constraints.sh "$(PYTHON)"

clean:  ## remove .venv, caches and build output; what was learned (.scanrank/) stays
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was installed from, or the install runs again: a second `make` takes no time.
$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "No $(PYTHON) found: install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1), older than 3.11: install a newer one, or say make PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) cannot create virtual environments: install its venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/.user: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing scanrank into $(VENV)"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[plots]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints-hashed.txt
	@echo "Installing scanrank and the development tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-hashed.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.user
