# `make` alone explains itself. Every target sets up what it needs, in .venv.
BIN := .venv/bin
# An image, then a question that the embedded model can answer.
# No stdin: a pipe that a CI system leaves open would be waited for.
ASK := </dev/null $(BIN)/qvq ask -m tiny

# The tests that stand closest to the libraries.
SMOKE := tests/cli/test_cli.py tests/chat/test_chat.py tests/engine tests/images/test_images.py \
  tests/images/test_sources.py tests/images/test_video.py tests/render/test_markdown.py \
  tests/render/test_preview.py tests/store/test_pull.py tests/house/test_imports.py

# What runs where mlx-vlm's own requirements are left out: nothing that compares with its processors.
SLIM := tests/cli/test_cli.py tests/chat/test_chat.py tests/engine/test_every_family.py \
  tests/engine/test_prefix.py tests/engine/test_schemas.py tests/images/test_sources.py \
  tests/images/test_video.py tests/render/test_markdown.py tests/store/test_pull.py \
  tests/serve/test_http.py tests/serve/test_mcp.py tests/house/test_imports.py

# What pages say: links, README's commands, those of all pages, examples as a consumer, the wheel.
PAGES := tests/house/test_links.py tests/house/test_readme.py tests/house/test_pages.py \
  tests/house/test_wheel.py

# The suite starts qvq some hundred times: what is compiled is kept, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-slim test-metal test-measured fuzz fuzz-checkpoints lowest check fix formula constraints-hashed audit docs evaluate bench clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' Makefile

demo: .venv/installed ## Ask the embedded model about three pictures
	@echo '$$ qvq ask -m tiny examples/shapes.png "How many red circles are there?"'
	@$(ASK) examples/shapes.png "How many red circles are there?"
	@echo
	@echo '$$ qvq ask -m tiny examples/chart.png "Which bar is the tallest?"'
	@$(ASK) examples/chart.png "Which bar is the tallest?"
	@echo
	@echo '$$ qvq ask -m tiny examples/sum.png "What is the result?"'
	@$(ASK) examples/sum.png "What is the result?"

test: .venv/developing ## Run the test suite: the same today and tomorrow
	$(BIN)/python -m pytest -n auto

test-slow: .venv/developing ## Run what takes minutes or gigabytes: the wheel, large checkpoints
	$(BIN)/python -m pytest -n auto -m slow

test-measured: .venv/developing ## Compare the time of readers and the memory of runs with what is said (by hand, an hour)
	$(BIN)/python -m pytest -m measured

fuzz: .venv/developing ## Run the random tests with new seeds for FUZZ_SECONDS=60 seconds
	$(BIN)/python -m tools.fuzz $(or $(FUZZ_SECONDS),60) $(FUZZ_SEED)

fuzz-checkpoints: .venv/developing ## Break checkpoints in FUZZ_COUNT=20000 ways; none may do harm (by hand, hours)
	$(BIN)/python -m tools.fuzz_checkpoints $(or $(FUZZ_COUNT),20000) $(FUZZ_SEED)

check: .venv/developing ## Lint, types, import contracts, documents, the wheel, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.add_family --check
	$(BIN)/lint-imports
	$(BIN)/python -m tools.docs --check
	$(BIN)/python -m pytest -q -p no:cacheprovider -m "not network" $(PAGES)
	$(BIN)/codespell

fix: .venv/developing ## Format, fix what can be fixed, regenerate the docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m tools.docs

formula: .venv/developing ## Write build/qvq.rb, the Homebrew formula of the release's wheel at URL=https://...
	$(BIN)/python -m tools.formula --url "$(URL)" $(if $(WHEEL),--wheel "$(WHEEL)")

constraints-hashed: .venv/developing ## Ask pip for the hashes of constraints.txt (minutes, a network)
	$(BIN)/python -m tools.hashes

audit: ## Look up known vulnerabilities of the pinned packages (a network)
	$(or $(PYTHON),python3) -m venv --clear build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.*
	build/audit/bin/pip-audit --require-hashes --disable-pip --vulnerability-service osv \
	  --progress-spinner off -r packaging/requirements-hashed.txt

evaluate: .venv/installed ## Print the embedded model's accuracy over 400 fresh pictures
	$(BIN)/python -m tools.tiny.evaluate --seed 7 --count 400

test-metal: .venv/developing ## Check what only a Mac's GPU can show: one report to paste
	$(BIN)/python -m tools.metal

lowest: ## Run some of the tests with the lowest versions that pyproject.toml allows
	$(or $(PYTHON),python3) -m venv --clear build/lowest
	build/lowest/bin/pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=build/lowest build/lowest/bin/uv pip install --quiet --resolution lowest-direct -e '.[dev]'
	build/lowest/bin/python -m qvq_mlx ask -m tiny examples/sum.png "What is the result?" </dev/null
	build/lowest/bin/python -m pytest -q -n auto -p no:cacheprovider $(SMOKE)

test-slim: ## Install without what no question imports, and run some of the tests there
	$(or $(PYTHON),python3) -m venv --clear build/slim
	build/slim/bin/pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=build/slim build/slim/bin/uv pip install --quiet --overrides packaging/slim.txt \
	  -c constraints.txt -e . hypothesis jsonschema pyte pytest pytest-xdist websockets
	build/slim/bin/python -m qvq_mlx ask -m tiny examples/sum.png "What is the result?" </dev/null
	build/slim/bin/python -m pytest -q -n auto -p no:cacheprovider $(SLIM)

bench: .venv/developing ## Measure the speed ratios (a quarter of an hour)
	$(BIN)/python -m benchmarks

clean: ## Remove the environment and everything that was built
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A Python that is named and is another one than that of .venv makes .venv anew.
ifdef PYTHON
version_named := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
version_here := $(shell sed -n 's/^version = //p' .venv/pyvenv.cfg 2>/dev/null)
ifneq ($(version_named),$(version_here))
.venv/bin/python: another
endif
else
PYTHON := python3
endif
.PHONY: another

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "qvq needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/developing: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
