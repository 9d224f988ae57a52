# `make help` tells what there is. Needs Python 3.11 or later and make; everything else is fetched from the package index
# that pip is set to, by hash.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
FLOWER := .cache/flower-venv
WORKERS ?= auto
PIP := pip --quiet --disable-pip-version-check --no-input
CODE := src tests $(wildcard examples)

.PHONY: help test test-real check lint format types layers unit venv lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

test: check unit ## checks (lint, types, layers) and all tests that need no programs from outside

check: lint types layers

lint: $(VENV)/.ready
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: $(VENV)/.ready ## order imports and format
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: $(VENV)/.ready
	$(BIN)/mypy

layers: $(VENV)/.ready
	$(BIN)/lint-imports

unit: $(VENV)/.ready $(FLOWER)/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(BIN)/pytest -n $(WORKERS)

venv: $(VENV)/.ready ## the virtual environment with panal in it, editable

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) install --require-hashes -r requirements/dev.txt
	$(BIN)/$(PIP) install --no-deps --no-build-isolation --no-index -e .
	touch $@

$(FLOWER)/.ready: requirements/flower.txt requirements/gateway.txt
	$(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/$(PIP) install --require-hashes -r requirements/flower.txt
	$(FLOWER)/bin/$(PIP) install --require-hashes -r requirements/gateway.txt
	touch $@

# Every lock is compiled for Python 3.11 and later on Linux. The files carry hashes, and neither index nor file addresses.
COMPILE = UV_DEFAULT_INDEX="$$($(PYTHON) -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)" \
	.cache/lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate $(UPGRADE)

lock: .cache/lock-venv/.ready ## compile requirements/*.txt anew (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra reporter -c requirements/runtime.txt -o requirements/reporter.txt
	$(COMPILE) pyproject.toml --extra reporter --group dev -c requirements/reporter.txt -o requirements/dev.txt
	$(COMPILE) requirements/flower.in -o requirements/flower.txt
	$(COMPILE) requirements/gateway.in -o requirements/gateway.txt

.cache/lock-venv/.ready:
	$(PYTHON) -m venv .cache/lock-venv
	.cache/lock-venv/bin/$(PIP) install uv
	touch $@

clean: ## remove what was made, the environments as well
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
