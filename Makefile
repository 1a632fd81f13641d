# Two commands matter: `make image` and `make test`. Both set up what they need, both may be repeated.

VENV := .venv
ALMA := $(VENV)/bin/alma
PROFILE ?= portable
RELEASE := build/release

.PHONY: image test check bench setup lint types fast reproducible clean

image: setup
	@scripts/make_image.sh $(ALMA) $(PROFILE)

# Everything: linters, types, fast tests, tests of the built release, boots in QEMU.
test: setup
	@$(VENV)/bin/python -m pytest tests

# What is quick enough to run before every commit.
check: setup lint types fast

lint:
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types:
	@$(VENV)/bin/mypy

fast:
	@$(VENV)/bin/python -m pytest tests -m "not image and not boot"

bench: setup
	@$(VENV)/bin/python -m tests.bench

# Two full builds from empty caches in two folders, compared byte for byte (about an hour).
reproducible: setup
	@$(VENV)/bin/python -m tests.bench.reproducible

setup:
	@scripts/setup.sh $(VENV)

clean:
	rm -rf build
