# Everything a developer, a first user and CI do. `make help` lists it.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
SECONDS ?= 60
READER ?=
export READER
STAMP := $(VENV)/.edgeconv-installed
# What --json answers and docs/ has a schema of.
RESULTS := parity bisect sensitivity frontier search
# One thread a test process: two processes share the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-all test-fast golden golden-update bench lint format types layers docs check-docs lock pretokenizers outcomes campaigns kill fuzz large exact tokenizers qwen examples perplexity clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt quantize/kernels.c validate/scores.c validate/weights/integers.c $(wildcard quantize/ggml/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

dev: $(STAMP) ## make .venv with the locked versions and this checkout in it

demo: $(STAMP) ## convert the built-in model to int4 and ask it questions
	$(BIN)/edgeconv demo

test: $(STAMP) ## run the tests, on real weights too, but for those of tests/long.py
	$(PYTEST) -m 'not long'

test-all: $(STAMP) ## run every test
	$(PYTEST)

test-fast: $(STAMP) ## run the tests that take seconds
	$(PYTEST) -m 'not slow and not long'

golden: $(STAMP) ## compare every output with the golden corpus (some minutes): make golden ARGS="'llama: gguf'"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden $(ARGS)

golden-update: $(STAMP) ## write the golden corpus anew, for a change that is wanted
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden --update $(ARGS)

bench: $(STAMP) ## measure everything beside the peers (hours): make bench ARGS="--converter … --model …"
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(STAMP) ## check style, and the workflows for what an attacker could use
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --quiet --offline .github

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
	for name in $(RESULTS); do $(BIN)/python -m edgeconv.study.schemas docs/$$name.schema.json || exit 1; done
	$(BIN)/python -m edgeconv.recipes.schema docs/recipe.schema.json
	$(BIN)/python -m tests.bad.reliability docs/reliability.md
	$(BIN)/python -m edgeconv.cli.verbs README.md

check-docs: $(STAMP) ## check that what `make docs` writes is current
	$(BIN)/python -m edgeconv.cli.reference --check docs/cli.md
	for name in $(RESULTS); do $(BIN)/python -m edgeconv.study.schemas --check docs/$$name.schema.json || exit 1; done
	$(BIN)/python -m edgeconv.recipes.schema --check docs/recipe.schema.json
	$(BIN)/python -m tests.bad.reliability --check docs/reliability.md
	$(BIN)/python -m edgeconv.cli.verbs --check README.md

lock: $(STAMP) ## write the newest versions that pyproject.toml admits, with their hashes, into constraints.txt
	$(BIN)/python .ci/lock.py constraints.txt

pretokenizers: $(STAMP) ## write the table of llama.cpp's pre-tokenizers from a checkout: make pretokenizers LLAMA_CPP=DIR
	$(BIN)/python .ci/pretokenizers.py $(LLAMA_CPP) convert/gguf/pretokenizers.json

outcomes: $(STAMP) ## record anew what edgeconv answers to each fault (tests/bad/outcomes.json), then `make docs`
	rm -f tests/bad/outcomes.json
	OMP_NUM_THREADS=1 EDGECONV_UPDATE=1 $(BIN)/python -m pytest -q -n 2 tests/bad

campaigns: kill fuzz large exact docs ## all campaigns, and their figures into docs/reliability.md (an hour)

kill: $(STAMP) ## kill every command at many points of its life (10 minutes); figures into docs/reliability.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/kill/campaign.py

fuzz: $(STAMP) ## give hostile files to every reader (10 minutes); figures into docs/reliability.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/fuzz/campaign.py

fuzz-coverage: $(STAMP) ## fuzz every reader guided by coverage (atheris), SECONDS each (60), or one READER; crashes lie in fuzz-coverage/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	mkdir -p fuzz-coverage
	$(if $(READER),echo "$$READER",$(BIN)/python -m tests.fuzz.small_targets) | while read -r name; do (cd fuzz-coverage && PYTHONPATH=.. ../$(BIN)/python -m tests.fuzz.coverage "$$name" $(SECONDS)) || exit 1; done

picklescan: $(STAMP) ## give the malicious files of picklescan's public repository to the reader of pickles; none may run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s tests/bad/picklescan.py

large: $(STAMP) ## convert tensors of 4 GB within 1 GiB of memory (5 GB of disk); figures into docs/reliability.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/bad/campaign.py

exact: $(STAMP) ## validate exact artifacts of every family and real tokenizer (half an hour): none may fail
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/exact/campaign.py

tokenizers: $(STAMP) ## plant faults in every real tokenizer (half an hour): each must be caught
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/exact/tokenizers.py

qwen: $(STAMP) ## convert and validate Qwen2.5-Coder-0.5B in every format (an hour); reports into docs/example-report
	$(BIN)/python -m pytest -q tests/exact/qwen.py

examples: $(STAMP) ## make the reports in docs/example-report anew (half an hour)
	$(BIN)/python -m pytest -q tests/exact/examples.py

perplexity: $(STAMP) ## build llama.cpp's llama-perplexity (10 CPU-minutes, once) and compare its figures with the validator's
	EDGECONV_BUILD_LLAMA=1 $(BIN)/python -m pytest -q tests/validate/test_llama_perplexity.py

clean: ## remove what the targets above made, the environment excepted
	rm -rf build dist *.egg-info .types .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis edgeconv-demo fuzz-coverage golden-out
