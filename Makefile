# Every target sets itself up in .venv, at once when that is there and up to date. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Processes that share the tests among them: most tests wait for servers most of the time.
TESTERS ?= 3

.DEFAULT_GOAL := help
.PHONY: setup demo shop test lint types bench faults soak mutants docs clean help

setup: $(READY) ## create .venv with everything in it

$(READY): pyproject.toml constraints.txt
	@echo "setup: creating .venv (a minute or so, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "setup: ready"

demo: $(READY) ## the guide's story on real servers, in under 3 minutes (CUSTOMERS=2000 for a shorter one)
	@$(BIN)/protean demo $(if $(CUSTOMERS),--customers $(CUSTOMERS))

shop: $(READY) ## a day in examples/shop on real servers: 200 orders, some of them trouble (ORDERS=30 for a shorter one)
	@cd examples/shop && ../../$(BIN)/python day.py --orders $(or $(ORDERS),200)

test: $(READY) ## all tests, on servers the run starts itself (ARGS="-k lanes" for some of them)
	@$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile $(ARGS)

lint: $(READY) ## style, formatting and the layer contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(READY) ## mypy --strict
	@$(BIN)/mypy --strict src $(wildcard examples/my_app examples/shop/shop examples/shop/day.py examples/shop/web.py benchmarks)

bench: $(READY) ## ours against raw drivers, measured in the same run (ARGS=--quick for a minute's worth)
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(READY) ## the long tests that kill, freeze and flush servers, about an hour; goes on where it stopped (ARGS=--fresh)
	@export FAULTS_FRESH=$(filter --fresh,$(ARGS)); $(call marked,faults)

soak: $(READY) ## work and random trouble for 20 minutes (SOAK_SECONDS=180 for a shorter one)
	@$(call marked,soak)

mutants: $(READY) ## break a copy of the code in every known way, one at a time: a test must notice each (ARGS=name for one)
	@$(BIN)/python -m tests.mutants $(ARGS)

docs: $(READY) ## docs/interface.md: every public name and what proves it; pictures, with Chromium. The rest is plain Markdown
	@$(BIN)/python -m tests.interface.table
	@$(BIN)/python -m pytest --quiet -m pictures tests/observatory

clean: ## stop this folder's embedded servers; remove them, their data, .venv and caches
	@if [ -d .protean ] && [ -x $(BIN)/python ]; then \
		echo "clean: stopping the embedded servers"; \
		$(BIN)/python -c 'from pathlib import Path; from protean.adapters.embedded import stop; stop(Path(".protean"))'; \
	fi
	@rm -rf .protean .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .faults .mutants build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "clean: done"

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pytest ends with 5 when it selected nothing: that is no failure of the suite, but it must not look like a pass.
define marked
$(BIN)/python -m pytest -m $(1) $(filter-out --fresh,$(ARGS)); code=$$?; \
	if [ $$code -eq 5 ]; then echo "$(1): no test carries the mark '$(1)' yet, so nothing was run"; exit 0; fi; \
	exit $$code
endef
