# Everything runs in .venv, made with PYTHON and pip alone. A target installs what it needs when
# pyproject.toml is newer than its stamp; after that it starts at once.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
COMPILED := .venv-compiled
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-ha test test-compiled bench fuzz microbench lint format clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(VENV)/.stamp-demo  ## Two versions, proxy, control plane, load; weights move live (DEMO_SECONDS=60: ends by itself)
	@$(BIN)/python -m loadtests.demo

demo-ha: $(VENV)/.stamp-dev  ## Two control planes on PostgreSQL, two proxies, load; one control plane is killed (DEMO_SECONDS=15)
	@$(BIN)/python -m loadtests.ha

# Two at a time, as many wait for a moment; a file's tests stay together, as they share what is slow
# to make.
test: $(VENV)/.stamp-dev  ## Every test, with coverage (PYTEST_ARGS adds arguments)
	@$(BIN)/python -m pytest --cov -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# The tests stand beside an installed proxy, so that what is imported is what a user has.
test-compiled: $(COMPILED)/.stamp  ## The data plane's tests on its compiled modules
	@rm -rf build/compiled && mkdir -p build/compiled
	@ln -s $(addprefix ../../,tests loadtests docs README.md pyproject.toml) build/compiled/
	@cd build/compiled && ../../$(COMPILED)/bin/splitway-proxy --version | grep compiled
	@cd build/compiled && ../../$(COMPILED)/bin/python -m pytest tests/core/test_router.py \
		tests/core/test_path.py tests/http1 tests/net tests/attacks/test_requests.py \
		tests/attacks/test_responses.py tests/benchmarks tests/e2e/test_road.py $(PYTEST_ARGS)

bench: $(COMPILED)/.stamp  ## Splitway beside nginx, HAProxy, Envoy, Traefik, Caddy (BENCH_ARGS adds arguments)
	@$(COMPILED)/bin/python -m loadtests.compare $(BENCH_ARGS)

fuzz: $(VENV)/.stamp-dev  ## The parser against the oracle (FUZZ_SECONDS=600)
	@$(BIN)/python -m tests.attacks.fuzz

microbench: $(VENV)/.stamp-dev  ## Time decide() and one request without sockets (PYTEST_ARGS adds arguments)
	@$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only \
		--benchmark-disable-gc --benchmark-min-time=0.001 --benchmark-sort=name \
		--benchmark-columns=min,median,iqr,rounds \
		--benchmark-storage=file://./run/microbench $(PYTEST_ARGS)

lint: $(VENV)/.stamp-dev  ## Format, lint, types, import rules, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.stamp-dev  ## Format the sources and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment, caches and demo runs
	rm -rf $(VENV) $(COMPILED) build run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage

# --group came with pip 25.1.
$(VENV)/.stamp-pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.stamp-demo: pyproject.toml $(VENV)/.stamp-pip
	@echo "installing what the demo needs ..."
	@$(PIP) install --editable '.[control]' --group load
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml $(VENV)/.stamp-pip
	@echo "installing what development needs ..."
	@$(PIP) install --editable '.[control]' --group test --group lint --group load
	@touch $@

$(COMPILED)/.stamp: pyproject.toml hatch_build.py $(wildcard proxy/*.py proxy/*/*.py) $(VENV)/.stamp-pip
	@echo "installing the compiled proxy ..."
	@test -d $(COMPILED) || $(PYTHON) -m venv $(COMPILED)
	@$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@SPLITWAY_COMPILE=1 $(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check \
		--upgrade '.[control]' --group test --group bench
	@touch $@
