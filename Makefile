SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := services orchestrator models tests

.PHONY: demo run test lint protos verify-protos lock clean

# Every target sets up the virtual environment by itself; the stamp rebuilds it when pins change.
.venv/.runtime-stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.dev-stamp: .venv/.runtime-stamp
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/.runtime-stamp  ## curate a small album of real pictures that ship with a package
	$(BIN)/bestshot demo

run: .venv/.runtime-stamp  ## curate PHOTOS into OUT
	@if [ -z "$(PHOTOS)" ] || [ -z "$(OUT)" ]; then echo 'usage: make run PHOTOS=folder OUT=folder' >&2; exit 2; fi
	$(BIN)/bestshot curate "$(PHOTOS)" --out "$(OUT)"

test: lint verify-protos  ## everything that needs no GPU
	$(BIN)/pytest

lint: .venv/.dev-stamp  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:protos/gen $(BIN)/lint-imports

protos: .venv/.dev-stamp  ## regenerate protos/gen
	$(BIN)/python protos/generate.py

verify-protos: .venv/.dev-stamp  ## prove that protos/gen is fresh
	$(BIN)/python protos/generate.py --check

lock: .venv/.dev-stamp  ## write the exact versions in use into constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v '^pip==' > constraints.txt
