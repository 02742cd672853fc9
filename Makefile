# `make demo` and `make test` work on a fresh clone: they need Python 3.11 or newer with venv, and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNS   := $(VENV)/.runs
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# Where it is set, as in many images, each of the hundreds of programs that the tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check unit test soak lint types format clean

demo: $(RUNS)
	$(BIN)/python -m deployments.demo

# mypy keeps one processor busy, and the tests can have the others meanwhile.
check: lint
	$(MAKE) --jobs types unit

unit: $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile -q -m 'not soak' tests/unit

test: lint types $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not soak and not alone'
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
