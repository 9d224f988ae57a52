# `make help` tells what there is. Needs Python 3.11 or later and make; everything else is fetched from the package index
# that pip is set to, by hash.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
FLOWERS := 1.40 1.41 1.42
FLOWER = $(call flower,$(lastword $(FLOWERS)))
flower = .cache/flower-$1
WORKERS ?= auto
DEMO ?= .cache/demo
PIP := pip --quiet --disable-pip-version-check --no-input
CODE := src tests benchmarks $(wildcard examples)
EXAMPLES := $(patsubst examples/%/Containerfile,example-%,$(wildcard examples/*/Containerfile))

.PHONY: help demo test test-real check lint format types layers unit venv lock images crd manifest clean flower-known flower-versions

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: $(VENV)/.ready ## a hub and four clusters on this machine learn digits together (KEEP=1 leaves them up)
	$(BIN)/python examples/mnist/demo.py --work $(DEMO) $(if $(KEEP),--keep)

test: check unit ## checks (lint, types, layers) and all tests that need no programs from outside

check: lint types layers

lint: $(VENV)/.ready
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: $(VENV)/.ready ## order imports and format
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: $(VENV)/.ready
	$(BIN)/mypy

layers: $(VENV)/.ready
	$(BIN)/lint-imports

unit: $(VENV)/.ready $(FLOWER)/.ready $(call flower,$(firstword $(FLOWERS)))/.ready
	$(BIN)/pytest -n $(WORKERS) --dist loadfile tests/unit
	PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(BIN)/pytest -n $(WORKERS) tests/flower -m "not versions"
	PANAL_FLOWER_VENV=$(CURDIR)/$(call flower,$(firstword $(FLOWERS))) $(BIN)/pytest -n $(WORKERS) tests/flower -m oldest
	$(BIN)/pytest tests/platform tests/embedded -m "not long"

test-long: $(VENV)/.ready $(FLOWER)/.ready ## the rest of the tests that need nothing from outside: kills, and the demo; minutes
	$(BIN)/pytest tests/platform tests/embedded -m long

# A new version: its number into FLOWERS, `make lock flower-known flower-versions`.
flower-known: $(VENV)/.ready $(foreach v,$(FLOWERS),$(call flower,$v)/.ready) ## the digests of Flower's modules that panal knows
	$(BIN)/python tests/testenv/flower_digests.py $(foreach v,$(FLOWERS),$(call flower,$v))

flower-versions: $(foreach v,$(FLOWERS),flower-$v) ## tests of real runs and attacks, with each version of Flower

flower-1.%: $(VENV)/.ready .cache/flower-1.%/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/.cache/flower-1.$* $(BIN)/pytest -n $(WORKERS) tests/flower

ENGINES := kubernetes nodes
REAL = PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(BIN)/pytest -p no:cacheprovider

test-real: $(VENV)/.ready $(FLOWER)/.ready ## tests on real Kubernetes and Open Cluster Management (docs/design/testing.md)
ifdef ARGS
	$(REAL) tests/real $(ARGS)
else # the clusters of one part end before those of the next begin: all together are too much for a small machine
	$(REAL) tests/real --ignore-glob='*/test_kubernetes_*' --ignore-glob='*/test_nodes_*'
	for engine in $(ENGINES); do $(REAL) tests/real/test_$${engine}_*.py; done
endif

venv: $(VENV)/.ready ## the virtual environment with panal in it, editable

$(VENV)/.ready: pyproject.toml requirements/dev.txt requirements/gateway.txt
	@echo "panal's own environment, in $(VENV): the first time, a minute or two without a word from pip"
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) install --require-hashes -r requirements/dev.txt -r requirements/gateway.txt
	$(BIN)/$(PIP) install --no-deps --no-build-isolation --no-index -e .
	touch $@

.cache/flower-%/.ready: requirements/flower-%.txt
	@echo "Flower's environment for the tests, in $(@D): the first time, a minute or two without a word from pip"
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/$(PIP) install --require-hashes -r $<
	touch $@

# Every lock is compiled for Python 3.11 and later on Linux. The files carry hashes, and neither index nor file addresses.
COMPILE = UV_DEFAULT_INDEX="$$($(PYTHON) -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)" \
	.cache/lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate $(UPGRADE)

lock: .cache/lock-venv/.ready ## compile requirements/*.txt anew (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra reporter -c requirements/runtime.txt -o requirements/reporter.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -c requirements/reporter.txt -o requirements/dev.txt
	for v in $(FLOWERS); do $(COMPILE) requirements/flower.in -c <(echo "flwr==$$v.*") -o requirements/flower-$$v.txt; done
	$(COMPILE) requirements/gateway.in -o requirements/gateway.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt

.cache/lock-venv/.ready:
	$(PYTHON) -m venv .cache/lock-venv
	.cache/lock-venv/bin/$(PIP) install uv
	touch $@

# The images of the tests, as archives for tests/testenv/clusters.py; any docker or podman builds the same from the Containerfiles.
VERSION := 0.1.0
IMAGES := .cache/images
OURS := $(shell find src requirements -type f -not -name "*.pyc") pyproject.toml
BUILD = $(PYTHON) tests/testenv/images.py build $(IMAGES)/store

images: $(foreach name,controller pod-tools gateway $(EXAMPLES),$(IMAGES)/$(name).tar) ## the images, as archives under .cache/images

$(IMAGES)/.base:
	$(PYTHON) tests/testenv/images.py base $(IMAGES)/store
	touch $@

$(IMAGES)/controller.tar: requirements/runtime.txt $(OURS)
$(IMAGES)/pod-tools.tar: requirements/reporter.txt $(OURS)
$(IMAGES)/gateway.tar: requirements/gateway.txt
$(IMAGES)/%.tar: images/%.Containerfile | $(IMAGES)/.base
	$(BUILD) . panal/$*:$(VERSION) $@ -f $<

$(IMAGES)/example-%.tar: $(shell find examples -type f 2>/dev/null) | $(IMAGES)/.base
	$(BUILD) examples/$* panal/example-$*:$(VERSION) $@

# The manifest for `kubectl apply`, from the chart.
HELM = $(KUBEBUILDER_ASSETS)/helm
RENDER = template panal charts/panal --namespace panal-system --set createNamespace=true --kube-version 1.30.0

crd: $(VENV)/.ready ## the CRD in the chart, from the types
	$(BIN)/python -m panal.api.crd > charts/panal/files/crd.yaml

manifest: crd ## what is in deploy/, from the chart (helm is among the programs of KUBEBUILDER_ASSETS)
	$(HELM) $(RENDER) > deploy/panal.yaml
	$(BIN)/python -m panal.addon.install > deploy/all-clusters.yaml

$(IMAGES)/test-app.tar: $(shell find tests/real/app -type f) $(IMAGES)/example-mnist.tar
	$(BUILD) tests/real/app panal/test-app:1 $@

clean: ## remove what was made, the environments as well
	-chmod -R u+w .cache
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
