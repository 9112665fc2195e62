# farm: wheels for every accelerator, from containers, with proof.
# Everything here works in a fresh checkout; 'make setup' runs by itself.
#
#   make build VARIANT=cpu [RECIPE=llama-cpp-python] [VERSION=0.2.44] [MAX_JOBS=4]
#   make test

PYTHON ?= python3
RECIPE ?= llama-cpp-python
VERSION ?=
VARIANT ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SELECTOR = $(RECIPE)$(if $(VERSION),@$(VERSION))$(if $(VARIANT),:$(VARIANT))
# Through the environment: whatever stands in it, no shell reads it as commands.
export SELECTOR

.DEFAULT_GOAL := help
.PHONY: help setup build plan list doctor test unit integration fuzz browser lint goldens schema bench relock clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo
	@echo "  variables of build: VARIANT, RECIPE, VERSION, MAX_JOBS, NVCC_THREADS, ARGS"

setup: $(STAMP) ## Make .venv with everything pinned and hashed

# One writer at a time, and whole or not at all: the stamp comes last.
$(STAMP): requirements.lock pyproject.toml .ci/setup.sh
	@PYTHON="$(PYTHON)" sh .ci/setup.sh "$(VENV)"

build: $(STAMP) ## Build wheels: make build VARIANT=cpu
	@$(BIN)/farm build "$$SELECTOR" $(ARGS)

plan: $(STAMP) ## Show what would be built, and why
	@$(BIN)/farm plan "$$SELECTOR" $(ARGS)

list: $(STAMP) ## List recipes and variants
	@$(BIN)/farm list

doctor: $(STAMP) ## Say what could go wrong on this machine
	@$(BIN)/farm doctor

# One process for each core and two more, since tests mostly wait: ARGS=-n0 for one alone.
test: $(STAMP) ## Run every test, on real engines, and lint
	$(BIN)/python -m pytest -n auto $(ARGS)

unit: $(STAMP) ## Run the tests that need no engine
	$(BIN)/python -m pytest -n auto tests/unit $(ARGS)

integration: $(STAMP) ## Run the tests on real engines alone
	$(BIN)/python -m pytest -n auto tests/integration $(ARGS)

fuzz: $(STAMP) ## Damage objects at random, for minutes: make fuzz FUZZ_ROUNDS=5000
	FUZZ_ROUNDS=$(or $(FUZZ_ROUNDS),2000) $(BIN)/python -m pytest -q \
	  tests/unit/inspect/test_module.py -k damage $(ARGS)

browser: $(STAMP) ## Try the timeline's page in Chromium (apt install chromium)
	$(BIN)/python -m pytest -q tests/browser/timeline.py $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

goldens: $(STAMP) ## Write the expected Dockerfiles, schema and help anew
	FARM_WRITE_GOLDENS=1 $(BIN)/python -m pytest tests/unit -q -k "golden or schema or help"

bench: $(STAMP) ## Measure, as ratios in one run
	$(BIN)/python -m tests.bench

relock: $(STAMP) ## Pin this project's own requirements anew
	$(BIN)/uv pip compile -q --generate-hashes --extra dev --python-version 3.11 --universal \
	  --no-annotate --no-emit-index-url --custom-compile-command "make relock" \
	  --upgrade pyproject.toml -o requirements.lock

clean: $(STAMP) ## Remove what can be made again
	@$(BIN)/farm clean $(ARGS)
