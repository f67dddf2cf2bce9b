# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NO_MKDOCS_2_WARNING := 1
READY := $(VENV)/.installed

.PHONY: help install demo test check docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     install, then train on synthetic cells, offline, and show the figures"
	@echo "make test     install, then run the whole test suite"
	@echo "make install  make .venv with the tested versions"
	@echo "make check    format, lint, types, import layers, generated docs, the site"
	@echo "make docs     write docs/settings.md and docs/models.md anew from the code, and the site into build/site"

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: install
	$(BIN)/regraft demo

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/mkdocs build --strict --quiet

docs: install
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
