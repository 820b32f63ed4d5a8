# Two commands on a fresh Debian machine (root, /dev/fuse): `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# Most tests wait for something; a file's tests share what it set up. More than two make each other late on small machines.
SIDE_BY_SIDE := -n 2 --dist loadfile
# Fails on a link, an anchor or a page of the navigation that is not there. The variable silences an advertisement.
SITE   := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: setup demo check docs test test-all bench bench-publish bench-cost bench-pauses bench-csi bench-mount-s3 format clean packages constraints dist
.DEFAULT_GOAL := help

help:
	@echo 'make setup     Debian packages and .venv with mountctl and its extras'
	@echo 'make demo      mount buckets of an embedded S3 server and show them (KEEP=1 stays up)'
	@echo 'make check     ruff, mypy, import-linter, generated documents and manifests are current, no file is too long,'
	@echo '               no link of the documents leads nowhere'
	@echo 'make docs      the site, from docs/, into build/site'
	@echo 'make test      the suite (root and /dev/fuse); make test-all adds the slow tests'
	@echo '               (and versitygw, built where Go is present)'
	@echo 'make packages  the Debian and the RPM package for this distribution, in dist/; make dist: sdist and wheel;'
	@echo '               make constraints: packages bring the libraries of .venv from now on'
	@echo 'make bench     speed beside mount-s3, rclone and s3fs: table, picture and raw data (a quarter of an hour)'
	@echo '               make bench-publish keeps them in docs/performance.md; make bench-cost: CPU by layer;'
	@echo '               make bench-pauses: when something dies, how long commands take, and 200 mounts;'
	@echo '               make bench-csi: what kubelet waits for, and what a volume takes of memory;'
	@echo '               make bench-mount-s3 builds the peer mount-s3 (cargo, cmake, libclang; once, ten minutes)'

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
	$(SITE)
	$(BIN)/python packaging/protocols.py --check
	$(BIN)/python packaging/check_lines.py
	$(BIN)/python packaging/kubernetes/render.py --check
	$(BIN)/hadolint packaging/kubernetes/Dockerfile

docs: setup
	$(BIN)/python -m docs.generate
	$(SITE)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m docs.generate
	$(BIN)/python packaging/protocols.py
	$(BIN)/python packaging/kubernetes/render.py

test: setup
	$(BIN)/python -m pytest -m 'not slow' $(SIDE_BY_SIDE)

test-all: setup
	packaging/setup-go $(VENV)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

bench: setup
	packaging/setup-bench
	$(BIN)/python -m bench

bench-publish: setup
	packaging/setup-bench
	$(BIN)/python -m bench --publish

bench-cost: setup
	packaging/setup-bench
	$(BIN)/python -m bench.cost

bench-pauses: setup
	packaging/setup-bench
	$(BIN)/python -m bench.takeover
	$(BIN)/python -m bench.commands
	$(BIN)/python -m bench.many

bench-csi: setup
	packaging/setup-bench
	$(BIN)/python -m bench.csi

packages: setup
	packaging/setup-package
	$(BIN)/python packaging/package.py

constraints: setup
	$(BIN)/python packaging/constraints.py

# The same bytes for the same commit, whenever and wherever they are built.
dist: setup
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(BIN)/python -m hatchling build

bench-mount-s3: setup
	$(BIN)/python -m bench.build_mount_s3

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
