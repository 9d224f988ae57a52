# `make help` lists the targets. Needs Python 3.11 or later and make; everything else comes from the package index
# that pip is configured with, by hash.
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
MORE_WORKERS := $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) * 3 // 2)') # for tests that mostly wait
DEMO ?= .cache/demo
PIP := pip --quiet --disable-pip-version-check --no-input
CODE := src local tests benchmarks conftest.py $(wildcard examples)
FIELDS := health retail industry vehicles
UNNEEDED := example-pytorch $(FIELDS:%=example-%) # no test on nodes needs them: only `make .cache/images/example-pytorch.tar` builds it
EXAMPLES := $(filter-out $(UNNEEDED),$(patsubst examples/%/Containerfile,example-%,$(wildcard examples/*/Containerfile)))
PYTORCH := .cache/pytorch
NOTEBOOK := .cache/notebook
PROTOTYPE := .cache/prototype
MODEL_REGISTRY := $(or $(PANAL_MODEL_REGISTRY),.cache/model-registry)
MODEL_REGISTRY_SOURCE ?= https://github.com/kubeflow/model-registry

.PHONY: help demo example test-fields test-fields-short verify build test test-unit test-integration test-product test-local test-short test-flower test-openfl test-flare test-mlflow test-model-registry test-otel test-oauth2-proxy test-export test-notebooks test-serving \
	test-conformance test-conformance-nodes test-platform test-long test-real policies soak chaos test-e2e test-pytorch check lint format types layers venv flower environments lock images crd \
	manifest clean flower-known flower-versions screenshots

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: $(VENV)/.ready ## run the example on a hub and four clusters on this machine (KEEP=1 leaves them up)
	$(BIN)/python examples/mnist/demo.py --work $(DEMO) $(if $(KEEP),--keep)

example: $(VENV)/.ready .cache/fields/.ready ## run an example of a field: NAME=health (WRITE=1 puts its table into the docs, KEEP=1 leaves the platform up)
	$(BIN)/python examples/fields.py $(NAME) --work .cache/examples --python .cache/fields/bin/python $(if $(WRITE),--write) $(if $(KEEP),--keep)

test-fields-short: $(VENV)/.ready .cache/fields/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/.cache/fields $(PYTEST) -n $(WORKERS) tests/fields

test-fields: test-fields-short ## test the parts of the examples of fields, then run each as a whole
	for name in $(FIELDS); do $(MAKE) example NAME=$$name; done

test: check test-unit test-short ## verify, test-unit, and the most important tests of test-integration

verify: check ## check lint, format, types and layers

check: lint types layers

lint: $(VENV)/.ready
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: $(VENV)/.ready ## sort imports and format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: $(VENV)/.ready
	$(BIN)/mypy

layers: $(VENV)/.ready
	$(BIN)/lint-imports

build: $(VENV)/.ready ## build the wheels and sdists of panal and panal-local into dist/, with the locked hatchling
	$(BIN)/hatchling build -d dist
	cd local && ../$(BIN)/hatchling build -d ../dist

# A test that waits for programs has a second attempt (see the file).
PYTEST := $(BIN)/python tests/testenv/again.py
UNIT = $(PYTEST) -n $(MORE_WORKERS) --dist loadfile

test-unit: $(VENV)/.ready ## run the unit tests
	$(UNIT) tests/unit local/tests/unit

test-integration: test-flower test-platform ## run the tests with real Flower and on the local platform (AFTER_TEST=1: without those of make test)

test-product: $(VENV)/.ready ## run the tests of the product
	$(UNIT) tests/unit
	$(MAKE) test-flower

test-local: $(VENV)/.ready ## run the tests of the local platform
	$(UNIT) local/tests/unit
	$(MAKE) test-platform

test-short: $(VENV)/.ready $(FLOWER)/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(PYTEST) -n $(MORE_WORKERS) tests/flower -m oldest
	$(PYTEST) local/tests/platform/test_platform.py

test-flower: $(VENV)/.ready $(FLOWER)/.ready $(call flower,$(firstword $(FLOWERS)))/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(PYTEST) -n $(MORE_WORKERS) tests/flower -m "not versions and not pytorch$(if $(AFTER_TEST), and not oldest)"
	PANAL_FLOWER_VENV=$(CURDIR)/$(call flower,$(firstword $(FLOWERS))) $(PYTEST) -n $(MORE_WORKERS) tests/flower -m oldest

test-openfl: $(VENV)/.ready .cache/openfl-1.9/.ready ## run the tests with real OpenFL
	PANAL_OPENFL_VENV=$(CURDIR)/.cache/openfl-1.9 $(PYTEST) -n $(WORKERS) tests/openfl

test-flare: $(VENV)/.ready .cache/flare-2.9/.ready ## run the tests with real NVIDIA FLARE
	PANAL_FLARE_VENV=$(CURDIR)/.cache/flare-2.9 $(PYTEST) -n $(WORKERS) tests/flare

test-mlflow: $(VENV)/.ready .cache/mlflow-3.17/.ready ## run the tests of tracking with a real MLflow server (downloads 200 MB the first time)
	PANAL_MLFLOW_VENV=$(CURDIR)/.cache/mlflow-3.17 $(PYTEST) tests/mlflow

test-model-registry: $(VENV)/.ready .cache/model-registry-0.3/.ready .cache/mlflow-3.17/.ready $(MODEL_REGISTRY) ## run the tests of publication with a real Kubeflow Model Registry (builds it with Go the first time)
	PANAL_MODEL_REGISTRY=$(abspath $(MODEL_REGISTRY)) PANAL_MODEL_REGISTRY_VENV=$(CURDIR)/.cache/model-registry-0.3 \
		PANAL_MLFLOW_VENV=$(CURDIR)/.cache/mlflow-3.17 $(PYTEST) tests/model_registry

.cache/model-registry: # the module cannot be built by its path alone: it replaces a module by a folder of its repository
	rm -rf $@.source
	git clone --quiet --depth 1 --branch v0.3.8 $(MODEL_REGISTRY_SOURCE) $@.source
	cd $@.source && GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -buildvcs=false -o $(CURDIR)/$@ .
	rm -rf $@.source

test-otel: $(VENV)/.ready .cache/otelcol ## run the tests of traces with a real OpenTelemetry Collector (builds it with Go the first time)
	$(PYTEST) tests/otel

.cache/otelcol: $(wildcard tests/otel/collector/*)
	cd tests/otel/collector && GOFLAGS=-mod=readonly go build -o $(CURDIR)/$@ .

test-oauth2-proxy: $(VENV)/.ready .cache/oauth2-proxy ## run the tests of the dashboard behind a real oauth2-proxy (builds it with Go the first time)
	$(PYTEST) tests/oauth2_proxy

.cache/oauth2-proxy: $(wildcard tests/oauth2_proxy/proxy/*)
	cd tests/oauth2_proxy/proxy && GOFLAGS=-mod=readonly go build -o $(CURDIR)/$@ github.com/oauth2-proxy/oauth2-proxy/v7

test-platform: $(VENV)/.ready
	$(PYTEST) -n $(WORKERS) --dist loadfile local/tests/platform -m "not long" --ignore=local/tests/platform/test_prototype.py \
		$(if $(AFTER_TEST),--ignore=local/tests/platform/test_platform.py) # test-notebooks has the prototype

test-export: $(VENV)/.ready .cache/export/.ready ## run the tests of exports with the real ONNX, scikit-learn, XGBoost and, if it is installed there, PyTorch (downloads 400 MB the first time)
	PANAL_EXPORT_VENV=$(CURDIR)/.cache/export $(PYTEST) tests/export

test-privacy: $(VENV)/.ready .cache/privacy/.ready ## compare the accountant with a published one (downloads 60 MB the first time)
	PANAL_PRIVACY_VENV=$(CURDIR)/.cache/privacy $(PYTEST) tests/privacy

test-notebooks: $(VENV)/.ready $(NOTEBOOK)/.ready $(PROTOTYPE)/.ready ## execute the notebooks, with Jupyter in environments of their own
	$(PYTEST) -n $(WORKERS) tests/notebooks
	$(PYTEST) local/tests/platform/test_prototype.py

test-long: $(VENV)/.ready $(FLOWER)/.ready $(NOTEBOOK)/.ready ## run the slow tests on the local platform: runs, failures, kill -9 of every part, and the demo
	$(PYTEST) local/tests/platform local/tests/embedded -m long

screenshots: $(VENV)/.ready ## make the pictures of the dashboard in docs/images, from a demo that is up (make demo KEEP=1); needs Chromium
	PYTHONPATH=tests/support $(BIN)/python tests/testenv/screenshots.py $(DEMO)/platform docs/images

test-pytorch: $(VENV)/.ready $(PYTORCH)/.ready ## run examples/pytorch with real Flower and PyTorch (downloads 3 GB the first time)
	PANAL_FLOWER_VENV=$(CURDIR)/$(PYTORCH) $(PYTEST) tests/flower/test_pytorch.py

# To add a version of Flower: add it to FLOWERS, then `make lock flower-known flower-versions`.
flower-known: $(VENV)/.ready $(foreach v,$(FLOWERS),$(call flower,$v)/.ready) ## record the digests of the Flower modules that panal hooks
	$(BIN)/python tests/testenv/flower_digests.py $(foreach v,$(FLOWERS),$(call flower,$v))

flower-versions: $(foreach v,$(FLOWERS),flower-$v) ## run tests/flower with each supported version of Flower

flower-1.%: $(VENV)/.ready .cache/flower-1.%/.ready
	PANAL_FLOWER_VENV=$(CURDIR)/.cache/flower-1.$* $(PYTEST) -n $(WORKERS) tests/flower -m "not pytorch"

test-conformance: $(VENV)/.ready ## run what every runtime owes a run, with each real framework, on the local platform (downloads OpenFL and FLARE)
	PANAL_RUNTIMES="flare flower openfl other" $(PYTEST) local/tests/embedded/test_embedded_7_conformance.py

test-conformance-nodes: $(VENV)/.ready $(FLOWER)/.ready ## run the same with OpenFL on real nodes (docs/design/testing.md)
	PANAL_RUNTIMES="openfl" $(REAL) tests/real/test_nodes_9_conformance.py

CHAOS_KILLS ?= 200
chaos: $(VENV)/.ready ## kill processes of runs at random (CHAOS_KILLS times) on the local platform; each run must complete
	PANAL_CHAOS_KILLS=$(CHAOS_KILLS) $(BIN)/pytest -s local/tests/embedded/test_embedded_8_chaos.py

ENGINES := kubernetes nodes
POLICIES := .cache/policies/governance-policy-propagator .cache/policies/config-policy-controller
MARKS := real
SERVERS := 4 # API servers at once; their tests wait for one another half of the time
REAL = PANAL_FLOWER_VENV=$(CURDIR)/$(FLOWER) $(PYTEST) -p no:cacheprovider

test-real: $(VENV)/.ready $(FLOWER)/.ready $(if $(filter kubernetes,$(ENGINES)),$(POLICIES)) ## run the tests on real Kubernetes and Open Cluster Management (docs/design/testing.md)
ifdef ARGS
	$(REAL) tests/real $(ARGS)
else # the clusters of one part end before those of the next start: all of them at once are too much for a small machine
	$(REAL) -n $(SERVERS) --dist loadgroup tests/real --ignore-glob='*/test_kubernetes_*' --ignore-glob='*/test_nodes_*' --ignore-glob='*/test_soak*' \
		--ignore=tests/real/test_weak_link.py
	$(REAL) tests/real/test_weak_link.py # it measures delays
	for engine in $(ENGINES); do $(REAL) tests/real/test_$${engine}_*.py -m "$(MARKS)"; done
endif

# The CRDs of Open Cluster Management's policies are in the Go modules of its controllers.
.cache/policies/governance-policy-propagator: MODULE := open-cluster-management.io/governance-policy-propagator@v0.16.0
.cache/policies/config-policy-controller: MODULE := open-cluster-management.io/config-policy-controller@v0.15.0
$(POLICIES):
	mkdir -p $(@D)
	ln -sfn "$$(go mod download -json $(MODULE) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" $@

policies: $(POLICIES) ## get the CRDs of policies, for tests/real/test_kubernetes_7_policies.py (needs Go)

test-e2e: test-real ## alias of test-real

soak: $(VENV)/.ready ## run the long tests: the controller on a real API server, with SOAK_CLUSTERS (3500) clusters, and runs over weak links and each type of listener and storage, and the example's Jupyter
	$(REAL) tests/real/test_soak*.py

venv: $(VENV)/.ready ## create the virtual environment, with panal and panal-local installed as editable

$(VENV)/.ready: pyproject.toml local/pyproject.toml requirements/dev.txt requirements/gateway.txt
	@echo "creating panal's environment in $(VENV); the first time this takes a minute or two without output"
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) install --require-hashes -r requirements/uv.txt
	$(call install,$(VENV),--require-hashes -r requirements/dev.txt -r requirements/gateway.txt)
	$(BIN)/$(PIP) install --no-deps --no-build-isolation --no-index -e . -e local
	touch $@

flower: $(FLOWER)/.ready

environments: $(call flower,$(firstword $(FLOWERS)))/.ready $(FLOWER)/.ready \
	$(NOTEBOOK)/.ready $(PROTOTYPE)/.ready .cache/privacy/.ready .cache/fields/.ready # those of .ci/run

.cache/%/.ready: requirements/%.txt $(VENV)/.ready # a framework of one version, such as flower-1.42
	@echo "creating the framework's environment for the tests in $(@D)"
	$(PYTHON) -m venv $(@D)
	$(call install,$(@D),--require-hashes -r $<)
	touch $@

$(PYTORCH)/.ready: examples/pytorch/requirements.txt $(VENV)/.ready
	@echo "creating PyTorch's environment for the tests in $(@D)"
	$(PYTHON) -m venv $(@D)
	$(call install,$(@D),--require-hashes -r $<)
	touch $@

$(PROTOTYPE)/.ready: requirements/prototype.txt $(VENV)/.ready # as a user has it: panal, the app's framework and Jupyter in one
	@echo "creating the environment of the prototype notebook in $(@D)"
	$(PYTHON) -m venv $(@D)
	$(call install,$(@D),--require-hashes -r $<)
	$(@D)/bin/$(PIP) install --no-deps --no-build-isolation --no-index -e . -e local
	touch $@

# uv installs many times faster than pip. It does not read all of pip's settings, so pip does it where uv cannot.
UV = UV_DEFAULT_INDEX="$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)}" \
	$(BIN)/uv pip
install = $(UV) install --quiet --compile-bytecode --python $1/bin/python $2 || $1/bin/$(PIP) install $2

# Every lock is compiled for Python 3.11 and later on Linux. The files hold hashes, and no index or file addresses.
COMPILE = $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	--no-annotate $(UPGRADE)

lock: $(VENV)/.ready ## recompile requirements/*.txt (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra reporter -c requirements/runtime.txt -o requirements/reporter.txt
	$(COMPILE) pyproject.toml local/pyproject.toml --all-extras --group dev --no-emit-package panal -c requirements/reporter.txt \
		-o requirements/dev.txt
	$(COMPILE) --no-deps requirements/dashboard.in -c requirements/dev.txt -o requirements/dashboard.txt
	for v in $(FLOWERS); do $(COMPILE) requirements/flower.in -c <(echo "flwr==$$v.*") -o requirements/flower-$$v.txt; done
	$(COMPILE) examples/mnist/requirements.in -c requirements/flower-$(lastword $(FLOWERS)).txt -o examples/mnist/requirements.txt
	$(COMPILE) examples/pytorch/pyproject.toml -c requirements/flower-$(lastword $(FLOWERS)).txt -o examples/pytorch/requirements.txt
	for name in health industry vehicles; do cp requirements/flower-$(lastword $(FLOWERS)).txt examples/$$name/requirements.txt; done
	$(COMPILE) requirements/openfl-1.9.in -o requirements/openfl-1.9.txt
	$(COMPILE) requirements/flare-2.9.in -o requirements/flare-2.9.txt
	$(COMPILE) requirements/mlflow-3.17.in -o requirements/mlflow-3.17.txt
	$(COMPILE) requirements/model-registry-0.3.in -o requirements/model-registry-0.3.txt
	$(COMPILE) requirements/export.in -o requirements/export.txt
	$(COMPILE) requirements/privacy.in -o requirements/privacy.txt
	$(COMPILE) tests/serving/reader/requirements.in -o tests/serving/reader/requirements.txt
	$(COMPILE) requirements/gateway.in -o requirements/gateway.txt
	$(COMPILE) requirements/fields.in -c requirements/flower-$(lastword $(FLOWERS)).txt -o requirements/fields.txt
	$(COMPILE) examples/retail/pyproject.toml -c requirements/fields.txt -o examples/retail/requirements.txt
	$(COMPILE) requirements/notebook.in -c requirements/reporter.txt -o requirements/notebook.txt
	$(COMPILE) pyproject.toml local/pyproject.toml requirements/prototype.in --extra cli --extra notebook --no-emit-package panal \
		-c requirements/flower-$(lastword $(FLOWERS)).txt -o requirements/prototype.txt
	$(COMPILE) examples/mnist/notebooks/requirements.in -c requirements/notebook.txt -o examples/mnist/notebooks/requirements.txt
	$(COMPILE) examples/mnist/serving/requirements.in -c requirements/notebook.txt -o examples/mnist/serving/requirements.txt
	$(COMPILE) <(echo uv) -o requirements/uv.txt
	$(COMPILE) <(echo numpy) -c requirements/reporter.txt -o examples/plain/requirements.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt

# Images as archives for tests/testenv/clusters.py; docker and podman build the same images from the Containerfiles.
VERSION := 0.1.0
IMAGES := .cache/images
OURS := $(shell find src requirements -type f -not -name "*.pyc") pyproject.toml
BUILD = $(PYTHON) tests/testenv/images.py build $(IMAGES)/store

images: $(foreach name,controller pod-tools gateway $(EXAMPLES),$(IMAGES)/$(name).tar) ## build the images, as archives under .cache/images

$(IMAGES)/.base:
	$(PYTHON) tests/testenv/images.py base $(IMAGES)/store
	touch $@

$(IMAGES)/controller.tar: requirements/runtime.txt requirements/dashboard.txt $(OURS)
$(IMAGES)/pod-tools.tar: requirements/reporter.txt $(OURS)
$(IMAGES)/gateway.tar: requirements/gateway.txt
$(IMAGES)/%.tar: images/%.Containerfile | $(IMAGES)/.base
	$(BUILD) . panal/$*:$(VERSION) $@ -f $<

$(IMAGES)/example-%.tar: $(shell find examples -type f 2>/dev/null) | $(IMAGES)/.base
	$(BUILD) examples/$* panal/example-$*:$(VERSION) $@

# KServe's program is one of those in KUBEBUILDER_ASSETS; its CRDs and settings, and the CRDs of the Gateway API, are in their Go modules.
SERVING := .cache/serving
MODULES := kserve gateway-api
SERVED := $(foreach name,$(MODULES) mnist-predictor.tar storage-initializer.tar,$(SERVING)/$(name)) \
	$(foreach name,controller pod-tools gateway example-mnist jupyter/mnist-jupyter,$(IMAGES)/$(name).tar)
test-serving: $(VENV)/.ready $(PROTOTYPE)/.ready .cache/mlflow-3.17/.ready $(SERVED) ## serve the models of runs with real KServe on real nodes, and go the whole way from a notebook to there (docs/design/testing.md)
	PANAL_MLFLOW_VENV=$(CURDIR)/.cache/mlflow-3.17 PANAL_KSERVE=$(CURDIR)/$(SERVING)/kserve PANAL_GATEWAY_API=$(CURDIR)/$(SERVING)/gateway-api $(PYTEST) -p no:cacheprovider tests/serving

$(SERVING)/kserve: MODULE := github.com/kserve/kserve@v0.15.2
$(SERVING)/gateway-api: MODULE := sigs.k8s.io/gateway-api@v1.3.0
$(foreach name,$(MODULES),$(SERVING)/$(name)):
	mkdir -p $(@D)
	ln -sfn "$$(go mod download -json $(MODULE) | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')" $@

$(SERVING)/mnist-predictor.tar: $(wildcard examples/mnist/serving/*) examples/mnist/mnist_app/model.py | $(IMAGES)/.base
	mkdir -p $(@D)
	$(BUILD) examples/mnist panal/mnist-predictor:$(VERSION) $@ -f examples/mnist/serving/Containerfile

$(SERVING)/storage-initializer.tar: $(wildcard tests/serving/reader/*) | $(IMAGES)/.base
	mkdir -p $(@D)
	$(BUILD) tests/serving/reader panal/test-storage-initializer:1 $@

# The manifest for `kubectl apply`, from the chart.
HELM = $(KUBEBUILDER_ASSETS)/helm
RENDER_SITE = template panal-site charts/panal-site --namespace panal-site --set createNamespace=true --kube-version 1.30.0
RENDER = template panal charts/panal --namespace panal-system --set createNamespace=true --kube-version 1.30.0

crd: $(VENV)/.ready ## generate the CRD in the chart from the types
	$(BIN)/python -m panal.api.crd > charts/panal/files/crd.yaml
	$(BIN)/python -m panal.site.crd > charts/panal-site/files/crd.yaml
	$(BIN)/python -m panal.site.crd record > charts/panal-site/files/runrecord.yaml

manifest: crd ## generate deploy/ from the chart (uses helm from KUBEBUILDER_ASSETS)
	$(HELM) $(RENDER) > deploy/panal.yaml.new && mv deploy/panal.yaml.new deploy/panal.yaml || { rm -f deploy/panal.yaml.new; exit 1; }
	$(BIN)/python -m panal.addon.install > deploy/all-clusters.yaml
	$(HELM) $(RENDER_SITE) > deploy/site.yaml.new && mv deploy/site.yaml.new deploy/site.yaml || { rm -f deploy/site.yaml.new; exit 1; }

$(IMAGES)/test-app.tar: $(shell find tests/real/app -type f) $(IMAGES)/example-mnist.tar $(IMAGES)/example-plain.tar
	$(BUILD) tests/real/app panal/test-app:1 $@

# In a folder of its own: no test but one puts it on a node.
$(IMAGES)/jupyter/mnist-jupyter.tar: examples/mnist/notebooks/Containerfile $(shell find examples/mnist -type f 2>/dev/null) | $(IMAGES)/.base
	mkdir -p $(@D)
	$(BUILD) examples/mnist panal/mnist-jupyter:$(VERSION) $@ -f $<

$(IMAGES)/test-openfl.tar: tests/openfl/Containerfile requirements/openfl-1.9.txt $(shell find tests/openfl/apps -type f) | $(IMAGES)/.base
	$(BUILD) . panal/test-openfl:1 $@ -f $<

clean: ## remove everything that make created, the environments included
	-chmod -R u+w .cache
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
