# Everything a developer, a first user and CI do. `make help` lists it.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
STAMP := $(VENV)/.edgeconv-installed
# One thread a test process: two processes share the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-fast lint format types layers docs check-docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt quantize/kernels.c validate/scores.c $(wildcard quantize/ggml/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

dev: $(STAMP) ## make .venv with the locked versions and this checkout in it

demo: $(STAMP) ## convert the built-in model to int4 and ask it questions
	$(BIN)/edgeconv demo

test: $(STAMP) ## run every test, slow ones on real weights too
	$(PYTEST)

test-fast: $(STAMP) ## run the tests that take seconds
	$(PYTEST) -m 'not slow'

lint: $(STAMP) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## check types; the link lets mypy see the root folder as the package edgeconv
	@mkdir -p .types && ln -sfn .. .types/edgeconv
	$(BIN)/mypy

layers: $(STAMP) ## check that imports run one way
	$(BIN)/lint-imports

docs: $(STAMP) ## write docs/cli.md and the JSON schemas from the program
	$(BIN)/python -m edgeconv.cli.reference docs/cli.md
	$(BIN)/python -m edgeconv.validate.report.schema docs/parity.schema.json
	$(BIN)/python -m edgeconv.recipes.schema docs/recipe.schema.json

check-docs: $(STAMP) ## check that what `make docs` writes is current
	$(BIN)/python -m edgeconv.cli.reference --check docs/cli.md
	$(BIN)/python -m edgeconv.validate.report.schema --check docs/parity.schema.json
	$(BIN)/python -m edgeconv.recipes.schema --check docs/recipe.schema.json

lock: $(STAMP) ## write the newest versions that pyproject.toml admits into constraints.txt
	$(BIN)/python .ci/lock.py constraints.txt

clean: ## remove what the targets above made, the environment excepted
	rm -rf build dist *.egg-info .types .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis edgeconv-demo
