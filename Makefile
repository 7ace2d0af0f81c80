SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Without bytecode files, each of the many processes that the tests start would compile all its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo run ui test test-fast accuracy bench screenshots docs images lint fix protos verify-protos lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# Every target sets up the virtual environment by itself; the stamps update it when pins change.
INSTALL := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt

$(BIN)/pip:
	$(PYTHON) -m venv .venv

.venv/.runtime-stamp: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[raw]'
	touch $@

.venv/.ui-stamp: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[ui,parquet,raw]'
	touch $@

# Compiling every package in advance takes longer than compiling the modules that the tests import.
.venv/.dev-stamp: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) --no-compile -e '.[dev]'
	touch $@

demo: .venv/.runtime-stamp  ## curate a small album of real pictures that ship with a package
	$(BIN)/bestshot demo

run: .venv/.runtime-stamp  ## curate PHOTOS into OUT
	@if [ -z "$(PHOTOS)" ] || [ -z "$(OUT)" ]; then echo 'usage: make run PHOTOS=folder OUT=folder' >&2; exit 2; fi
	$(BIN)/bestshot curate "$(PHOTOS)" --out "$(OUT)"

ui: .venv/.ui-stamp  ## run everything, including the web UI, until Ctrl-C
	$(BIN)/bestshot up

# Three workers on two processors, because tests that wait for a lease or a browser leave them idle.
test: lint verify-protos  ## run all tests (none needs a GPU)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=25

test-fast: .venv/.dev-stamp  ## run the unit and architecture tests except slow ones, before each commit
	$(BIN)/pytest -n 2 -m "not slow" tests/unit tests/architecture

accuracy: .venv/.dev-stamp  ## measure the README's figures on real photos, if they are present
	$(BIN)/pytest tests/accuracy -s
	$(BIN)/python -m tests.accuracy.choices

bench: .venv/.dev-stamp  ## measure speed, as ratios; writes build/bench/*.json
	PYTHONPATH=client $(BIN)/python -m tests.benchmarks.admission
	$(BIN)/python -m tests.benchmarks.startup
	$(BIN)/python -m tests.benchmarks.serving
	$(BIN)/python -m tests.benchmarks.clustering
	$(BIN)/python -m tests.benchmarks.crowd
	$(BIN)/python -m tests.benchmarks.curation
	$(BIN)/python -W ignore -m tests.benchmarks.near_duplicates
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.ui_answers
	$(BIN)/python -m tests.benchmarks.cull

screenshots: .venv/.dev-stamp  ## take the README's screenshots with the browser tests
	$(BIN)/pytest tests/browser/test_journey.py --screenshots
	$(BIN)/python -m tests.browser.readme_pictures
	PYTHONPATH=.:protos/gen $(BIN)/python -m tests.browser.docs_pictures

docs: .venv/.dev-stamp  ## build the documentation into build/site, and check its links
	PYTHONPATH=.:protos/gen NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/site/index.html

images:  ## build and test every container image; as root, with buildah and debootstrap
	tests/deploy/images.sh

lint: .venv/.dev-stamp  ## check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:protos/gen:client $(BIN)/lint-imports
	tests/commit_subjects.sh

fix: .venv/.dev-stamp  ## apply ruff's automatic fixes and its formatter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: .venv/.dev-stamp  ## regenerate protos/gen
	$(BIN)/python protos/generate.py

verify-protos: .venv/.dev-stamp  ## check that protos/gen is up to date
	$(BIN)/python protos/generate.py --check

lock: .venv/.dev-stamp  ## write the exact versions in use into constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > constraints.txt

clean:  ## remove everything that make and the tests created
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
