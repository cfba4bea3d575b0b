# make demo    everything from the shipped corpus to a report and a GGUF file
# make test    the tests; make check the quick checks; make bench the measurements; make setup only the environment
.PHONY: setup demo test check format bench clean

PYTHON ?= python3
# The CPU build of this version is what the figures in benchmarks/ were made with. On a GPU machine: make setup TORCH="torch>=2.11".
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.pellucid-setup

setup: $(STAMP)

$(STAMP): pyproject.toml Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Pellucid into $(VENV) (one to three minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $(STAMP)
	@echo "Ready: $(BIN)/pellucid --help"

demo: setup
	@$(BIN)/pellucid run recipes/pocket.yaml

test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

check: setup
	@$(BIN)/ruff format --check --quiet . || (echo "run: make format"; exit 1)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/arch

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
