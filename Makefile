# make        everything that has to be right: style, types, tests
# make run    the comparison that vmsim exists for
# make kernels  fetches kernels of Debian packages that vmsim runs, and says where to
# make verify millions of random cases through every engine, against Unicorn; VMSIM_CASES, VMSIM_SEED
# Needs python3 >= 3.11 and make; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp

.DEFAULT_GOAL := test
.PHONY: run test verify bench clean
.SILENT:

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vmsim needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	$(BIN)/python -m compileall -q cli.py guests isa vmm
	touch $@

run: $(STAMP)
	$(BIN)/vmsim compare guests/kernel.asm

test: $(STAMP)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check . || { echo 'run: $(BIN)/ruff format .'; exit 1; }
	$(BIN)/mypy --no-error-summary
	$(BIN)/pytest -n 2

verify: $(STAMP)
	PYTHONPATH=tests/isa $(BIN)/python tests/differential/verify.py

bench: $(STAMP)
	$(BIN)/vmsim bench

kernels:
	.ci/kernels

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
