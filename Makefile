# `make run` and `make test` are all a newcomer needs; both set up what is missing.
# The first Python that starts and is new enough: a name on the PATH may be a shim for one that is not installed.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --fork-strategy fewest \
	--python-version 3.11 --no-config --custom-compile-command "make lock" pyproject.toml

.PHONY: help run test check lint types imports bench lock clean
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.run ## the console, its worker, its scheduler and the sandbox (PORT=8000)
	@$(BIN)/python manage.py run

test: $(VENV)/.dev ## every test; those that need PostgreSQL, Redis or Chromium are skipped where there is none
	@$(BIN)/python -m pytest

check: lint types imports ## what must pass before a commit: style, types, layers, Django's checks, migrations, tests
	$(BIN)/python manage.py check
	SITE_URL=https://console.example.org SECRET_KEY=$$(head -c 64 /dev/urandom | base64 | tr -d '\n') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## 1,000 deliveries against the limit of the account; ARGS="--count 200"
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(VENV)/.dev ## the locked, hashed requirements from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt -o requirements-dev.txt

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Say where it is: make PYTHON=/path/to/python3.12 run"; exit 1; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.run

clean: ## removes the virtual environment and all data in var/
	rm -rf $(VENV) var
