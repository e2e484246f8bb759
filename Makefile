PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
export PPLUG_PROFILE ?= default
export PPLUG_STARTED := $(shell date +%s)

.DEFAULT_GOAL := help
# These share their plugs: of two processes the first has them all, else the second would wait for it to train them.
SHARING := $(foreach n,03 04 05 06 00,$(wildcard notebooks/$(n)_*.ipynb))
TRUST := isolation forget store hostile fuzz safety faults repeatable statistics attacks standin_training

# A process for each core; each process computes with one thread.
AT_ONCE := -n logical --dist worksteal

.PHONY: help setup run test docs trust lint format lab write results

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PPLUG_PROFILE=smoke|default|laptop|gpu|paper|llama|qwen  how much to run, e.g. make run PPLUG_PROFILE=smoke"
	@echo "  NAMES='01 03'                    only these notebooks, for run and write"
	@echo "  PYTHON=python3.12                the Python to set up $(VENV) with, 3.11 or newer"

setup: $(DONE) ## make .venv and install everything the notebooks and tests need

run: $(DONE) ## execute every notebook; time, peak memory and outcome of each; copies in executed/<profile>/
	$(BIN)/python -m tools.notebooks $(NAMES)

test: $(DONE) ## run all tests, then every notebook in the smoke profile
	$(BIN)/python -m pytest $(AT_ONCE) -m "not long"
	$(BIN)/python -m pytest $(AT_ONCE) -m long
	PPLUG_PROFILE=smoke OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(AT_ONCE) --nbmake --nbmake-timeout=600 $(SHARING) \
		$(filter-out $(SHARING),$(wildcard notebooks/*.ipynb))

docs: $(DONE) ## build the site from README, docs/, the lessons and the docstrings, in build/html
	$(BIN)/python -m tools.website build/site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html --conf-dir docs build/site build/html

trust: $(DONE) ## run the tests behind docs/promises.md with many more cases; compare all notebooks' numbers
	PPLUG_NIGHTLY=1 $(BIN)/python -m pytest $(TRUST:%=tests/test_%.py)
	PPLUG_PROFILE=default $(BIN)/python -m tools.notebooks --compare

lint: $(DONE) ## check style and formatting, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DONE) ## repair style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: $(DONE) ## open the notebooks in JupyterLab
	$(BIN)/jupyter-lab notebooks

write: $(DONE) ## run the default profile and write its outputs into notebooks/, README.md and docs/, to be committed
	PPLUG_PROFILE=default $(BIN)/python -m tools.notebooks --write $(NAMES)
	$(BIN)/python -m tools.readme

results: $(DONE) ## make the recorded runs in results/ again
	$(BIN)/python -m pplug compare

# `.new` tells tools.notebooks that everything was set up from nothing, and when.
$(DONE): pyproject.toml constraints.txt packaged.txt
	@command -v $(PYTHON) >/dev/null || { echo "No '$(PYTHON)' here. Name a Python >= 3.11: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "pplug needs Python >= 3.11; '$(PYTHON)' is `$(PYTHON) -V 2>&1`. Name another: make PYTHON=..." >&2; exit 1; }
	@echo "Installing into $(VENV): some minutes the first time"
	@test -e $(BIN)/python || { mkdir -p $(VENV); touch $(VENV)/.new; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r packaged.txt
	@touch $@
