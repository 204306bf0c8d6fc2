# The two commands of the README, and the ones developers use. Everything happens in .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: help demo test ui bench proof lint format lock pictures clean
.DEFAULT_GOAL := help
# Compiled modules are kept even where the environment says otherwise: every command would compile them all again.
export PYTHONDONTWRITEBYTECODE =
# A worker more than cores: many tests wait for other processes.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(4, len(os.sched_getaffinity(0)) + 1 if hasattr(os, 'sched_getaffinity') else (os.cpu_count() or 1) + 1))")

help: ## list the commands
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml scripts/install.py
	@$(PYTHON) scripts/install.py $(VENV) requirements/runtime.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml scripts/install.py
	@$(PYTHON) scripts/install.py $(VENV) requirements/dev.txt
	@touch $(VENV)/.runtime $@

demo: $(VENV)/.runtime ## sync the synthetic population from the built-in sandbox and show what happened
	@$(RUN)/holovitals demo $(ARGS)

ui: $(VENV)/.runtime ## open the Dagster UI on the home folder
	@$(RUN)/holovitals ui $(ARGS)

test: $(VENV)/.dev ## run the tests, a file at a time on each core
	@$(RUN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev ## formatting, lint, types, import rules
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: $(VENV)/.dev ## format the code
	$(RUN)/ruff check --fix-only --quiet .
	$(RUN)/ruff format .

bench: $(VENV)/.dev ## measure resources per CPU-second and peak memory, beside baselines
	@$(RUN)/python -m benchmarks $(ARGS)

proof: $(VENV)/.dev ## prove the sync protocol: simulated vendors, crashes, mutants; writes docs/proof.md; the tests' long forms
	@$(RUN)/python -m proof --write docs/proof.md $(ARGS)
	@$(RUN)/pytest -n auto --maxprocesses 4 --dist loadfile --long

lock: $(VENV)/.dev ## compile the dependency locks anew
	$(RUN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --group build --group test --group lint -o requirements/dev.txt
	$(RUN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -c requirements/dev.txt pyproject.toml --group build -o requirements/runtime.txt

pictures: $(VENV)/.dev ## make the README's pictures anew from the real thing
	@$(RUN)/python scripts/screenshots.py $(ARGS)

clean: ## remove the environment and the demo's home
	rm -rf $(VENV) .holovitals
