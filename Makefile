# `make demo` and `make test` work on a fresh clone: they need Python 3.11 or newer with venv, and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNS   := $(VENV)/.runs
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# Where it is set, as in many images, each of the hundreds of programs that the tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check unit test suite slow soak lint types format clean

demo: $(RUNS)
	$(BIN)/python -m deployments.demo

# The types are checked while the tests run: mypy has one thread.
check: lint
	$(MAKE) --jobs 2 types unit

unit: $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile -q tests/unit

test: lint
	$(MAKE) --jobs 2 types suite

suite: $(READY)
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m 'not soak and not slow and not alone'

# What runs alone measures the use of a quota, or starts a cluster.
slow: $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m 'slow and not soak and not alone' $$(grep -rl 'mark\.slow' tests --include=*.py)
	$(BIN)/python -m pytest -m 'alone and not soak' $$(grep -rl 'mark\.alone' tests --include=*.py)

soak: $(READY)
	$(BIN)/python -m pytest -m soak

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The environment is rebuilt when the files that define it change. The demo needs only what the program itself needs, which
# is half of it; Python compiles what is imported of it at its first import, which is a small part.
$(RUNS): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pinakes needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --editable .
	touch $@

$(READY): $(RUNS)
	$(PIP) --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
