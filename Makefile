# `make help` lists the targets. Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install run quick gpu test test-slow lint ui deliver verify audit prune readme lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed  ## Make .venv and install the locked dependencies and the project

# A stamp newer than the lock file: a second run installs nothing.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install  ## Run the whole pipeline on the real data (dvc repro)
	python -m stages.mend
	python -m stages.repro

quick: install  ## Run every kind of stage on a small sample in a scratch copy, for a first look
	python -m stages.quick .scratch

gpu: install  ## Train and evaluate the entries of params.gpu.yaml, of the papers' sizes, in a copy of the project
	python -m stages.gpu .gpu

test: install  ## Run the tests
	pytest

test-slow: install  ## Run the slow proofs: kills, fuzzing, queued experiments, then the whole pipeline again (verify)
	pytest -m slow --numprocesses 0 --capture=no
	$(MAKE) verify

lint: install  ## Check format, style and types
	ruff format --check .
	ruff check .
	mypy

ui: install  ## Show the runs: MLflow on http://127.0.0.1:5000 (PORT=... for another port)
	python -m stages.ui --port $(PORT)

deliver: install  ## Send MLflow runs that were kept on disk while the store was away
	python -m stages.deliver

verify: install  ## Run the pipeline again in a copy and say which outputs differ from dvc.lock (STAGES="..." for some)
	python -m stages.verify .verify $(STAGES)

audit: install  ## Ask whether a locked dependency is known to be vulnerable
	python -m stages.audit

prune: install  ## Remove what entries that are no longer in params.yaml have left
	python -m stages.prune

readme: install  ## Put the tables of results/ into the README
	python -m stages.readme

lock: install  ## Pin the dependencies of pyproject.toml anew, with hashes, for all platforms
	uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command 'make lock' --group dev pyproject.toml --output-file requirements.lock

clean:  ## Remove the environment, copies and checkpoints; data, results and runs stay
	rm -rf .venv .scratch .gpu .verify .checkpoints .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
