SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Without bytecode files, each of the many processes that the tests start would compile all its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo run ui test tests test-fast accuracy bench screenshots docs packages platforms images lint fix protos verify-protos lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# Every target sets up the virtual environment by itself; the stamps update it when pins change.
PIP := $(BIN)/pip --disable-pip-version-check
INSTALL := $(PIP) install -q -c constraints.txt
# ONNX Runtime comes in two distributions with the same module, so exactly one may be installed.
RUNTIME ?= $(shell nvidia-smi -L > /dev/null 2>&1 && echo gpu || echo cpu)
ifeq ($(RUNTIME),gpu)
INSTALL += -c deploy/docker/constraints-cuda.txt
OTHER := onnxruntime
else
OTHER := onnxruntime-gpu
endif
# Uninstalling one also deletes the module of the other.
remove_runtime = if $(PIP) show -q $(1) 2> /dev/null; then \
	$(PIP) uninstall -q -y onnxruntime onnxruntime-gpu; rm -f .venv/.*-stamp; fi
PINS := pyproject.toml protos/pyproject.toml constraints.txt

announce = @echo 'installing into .venv, which takes a minute or two the first time'

# The pip that comes with Python may be years old and take twice as long to resolve the packages.
$(BIN)/pip:
	$(PYTHON) -m venv .venv
	$(PIP) install -q --upgrade pip

# Compiling every module of every package takes time and 100 MB; Python compiles modules when it imports them.
.venv/.runtime-$(RUNTIME)-stamp: $(PINS) | $(BIN)/pip
	$(announce)
	@$(call remove_runtime,$(OTHER))
	$(INSTALL) --no-compile -e ./protos -e '.[$(RUNTIME),raw]'
	touch $@

.venv/.ui-$(RUNTIME)-stamp: $(PINS) | $(BIN)/pip
	$(announce)
	@$(call remove_runtime,$(OTHER))
	$(INSTALL) --no-compile -e ./protos -e '.[$(RUNTIME),ui,parquet,raw]'
	touch $@

.venv/.dev-stamp: $(PINS) | $(BIN)/pip
	$(announce)
	@$(call remove_runtime,onnxruntime-gpu)
	$(INSTALL) --no-compile -e ./protos -e '.[dev]'
	touch $@

demo: .venv/.runtime-$(RUNTIME)-stamp  ## curate a small album of real pictures that ship with a package
	$(BIN)/bestshot demo

run: .venv/.runtime-$(RUNTIME)-stamp  ## curate PHOTOS into OUT
	@if [ -z "$(PHOTOS)" ] || [ -z "$(OUT)" ]; then echo 'usage: make run PHOTOS=folder OUT=folder' >&2; exit 2; fi
	$(BIN)/bestshot curate "$(PHOTOS)" --out "$(OUT)"

ui: .venv/.ui-$(RUNTIME)-stamp  ## run everything, including the web UI, until Ctrl-C
	$(BIN)/bestshot up || [ $$? -eq 130 ]  # the status after Ctrl-C

# mypy uses one processor for half a minute if it has no cache, so lint runs beside the tests.
test: .venv/.dev-stamp  ## run make lint and all tests (none needs a GPU)
	$(MAKE) -j3 --no-print-directory lint verify-protos tests

# The threads of NumPy and PyTorch in several workers would spin while they wait for each other.
tests test-fast: export OMP_NUM_THREADS = 1

# Without this, each worker would compile all that the tests import. Errors appear when the tests run.
.venv/.imported-stamp: .venv/.dev-stamp
	$(BIN)/pytest --collect-only -q > /dev/null 2>&1 || true
	touch $@

# Three workers on two processors, because tests that wait for a lease or a browser leave them idle.
tests: .venv/.imported-stamp
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=25

test-fast: .venv/.dev-stamp  ## run the unit and architecture tests except slow ones, before each commit
	$(BIN)/pytest -n 2 -m "not slow" --hypothesis-profile=fast tests/unit tests/architecture

accuracy: .venv/.dev-stamp  ## measure the README's figures on real photos, if they are present
	$(BIN)/pytest tests/accuracy -s
	$(BIN)/python -m tests.accuracy.choices

bench: .venv/.dev-stamp  ## measure speed, as ratios; writes build/bench/*.json
	PYTHONPATH=client $(BIN)/python -m tests.benchmarks.admission
	$(BIN)/python -m tests.benchmarks.install
	$(BIN)/python -m tests.benchmarks.startup
	$(BIN)/python -m tests.benchmarks.serving
	$(BIN)/python -m tests.benchmarks.clustering
	$(BIN)/python -m tests.benchmarks.crowd
	$(BIN)/python -m tests.benchmarks.curation
	$(BIN)/python -W ignore -m tests.benchmarks.near_duplicates
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.ui_answers
	$(BIN)/python -m tests.benchmarks.cull
	$(BIN)/python -m tests.benchmarks.people

screenshots: .venv/.dev-stamp  ## take the README's screenshots with the browser tests
	$(BIN)/pytest tests/browser/test_journey.py --screenshots
	$(BIN)/python -m tests.browser.readme_pictures
	PYTHONPATH=.:protos/gen $(BIN)/python -m tests.browser.docs_pictures

docs: .venv/.dev-stamp  ## build the documentation into build/site, and check its links
	PYTHONPATH=.:protos/gen NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'to read it: $(BIN)/python -m http.server --directory build/site'

packages: build/package-tools/stamp  ## build and check the wheels and source distributions in dist/
	rm -rf dist
	for project in protos client .; do build/package-tools/bin/python -m build -q -o dist $$project || exit 1; done
	build/package-tools/bin/twine check --strict dist/*
	build/package-tools/bin/check-wheel-contents dist/*.whl

build/package-tools/stamp:
	$(PYTHON) -m venv build/package-tools
	build/package-tools/bin/pip install -q --disable-pip-version-check 'build>=1.3' 'twine>=6.2' 'check-wheel-contents>=0.6'
	touch $@

platforms: .venv/.dev-stamp  ## check that every dependency has a wheel for each system and Python
	$(BIN)/python -m tests.deploy.platforms

images:  ## build and test every container image; as root, with buildah and debootstrap
	tests/deploy/images.sh

lint: .venv/.dev-stamp  ## check style, types, import rules and the API's compatibility
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:protos/gen:client $(BIN)/lint-imports
	$(BIN)/python protos/breaking.py
	$(BIN)/python client/generate_sync.py --check
	tests/commit_subjects.sh

fix: .venv/.dev-stamp  ## apply ruff's automatic fixes and its formatter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Generated code needs at least the versions of grpcio and protobuf that generated it, so those are the
# oldest that clients may use; they conflict with ours, hence the separate environment.
PROTOC := build/protoc-1.73.0
$(PROTOC)/stamp:
	$(PYTHON) -m venv $(PROTOC)
	$(PROTOC)/bin/pip install -q --disable-pip-version-check grpcio-tools==1.73.0 googleapis-common-protos
	touch $@

protos: $(PROTOC)/stamp  ## regenerate protos/gen and the blocking client
	$(PROTOC)/bin/python protos/generate.py
	$(PYTHON) client/generate_sync.py

verify-protos: $(PROTOC)/stamp  ## check that protos/gen is up to date
	$(PROTOC)/bin/python protos/generate.py --check

# Intel Macs need an older ONNX Runtime.
lock: .venv/.dev-stamp  ## write the exact versions in use into constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v '^pip==' | sed -E 's/\+cpu$$//; s/^onnxruntime==.*/&; sys_platform != "darwin" or platform_machine != "x86_64"/' > constraints.txt

clean:  ## remove everything that make and the tests created
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
