# Every target makes its own environment in .venv first; it needs python3 (3.11 or newer), pip and a C compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export OMP_NUM_THREADS ?= 1

.PHONY: help env demo test lint types check constraints clean

help:
	@echo "make demo    shards of a real genome, a training run that stops and resumes, a Hugging Face directory"
	@echo "make test    all tests"
	@echo "make lint    ruff"
	@echo "make types   mypy"
	@echo "make check   lint, types and test"
	@echo "make env     only the environment in $(VENV), of the versions in constraints.txt"
	@echo "make constraints    the newest versions that pyproject.toml allows into constraints.txt; then: make test"
	@echo "make clean   remove what the demo made"

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): Python packages of about 1.3 GB without a GPU; once, and again when these change."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is older than 3.11: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no venv here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable ".[dev,mpi]"
	@touch $@

demo: $(STAMP)
	@PATH="$(abspath $(BIN)):$$PATH" bash launch/demo.sh

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

check: lint types test

constraints:
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install -qq --editable ".[dev,mpi]"
	head -n 1 constraints.txt > constraints.new
	$(VENV)-newest/bin/python -m pip list --format=freeze --exclude-editable --exclude pip | sed 's/+[a-z0-9]*$$//' >> constraints.new
	mv constraints.new constraints.txt
	rm -r $(VENV)-newest

clean:
	rm -rf runs/demo data/demo hf/demo
