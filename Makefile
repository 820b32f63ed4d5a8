# Two commands on a fresh Debian machine (root, /dev/fuse): `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: setup demo check test test-all bench format clean
.DEFAULT_GOAL := help

help:
	@echo 'make setup     Debian packages and .venv with mountctl and its extras'
	@echo 'make demo      mount buckets of an embedded S3 server and show them (KEEP=1 stays up)'
	@echo 'make check     ruff, mypy, import-linter, generated documents are current'
	@echo 'make test      the suite (root and /dev/fuse); make test-all adds the slow tests'
	@echo '               (and versitygw, built where Go is present)'
	@echo 'make bench     one sequential read beside the peers, pauses when something dies, how long commands take, and 200 mounts'

setup: $(STAMP)

$(STAMP): pyproject.toml packaging/setup
	packaging/setup $(PYTHON) $(VENV)
	@touch $@

demo: setup
	@$(BIN)/python packaging/demo.py $(if $(KEEP),--keep)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m docs.generate

test: setup
	$(BIN)/python -m pytest -m 'not slow'

test-all: setup
	packaging/setup-go $(VENV)
	$(BIN)/python -m pytest

bench: setup
	$(BIN)/python -m bench.sequential
	$(BIN)/python -m bench.takeover
	$(BIN)/python -m bench.commands
	$(BIN)/python -m bench.many

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
