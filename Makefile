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
	  { echo "Python 3.11 or newer is needed; run make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install  ## Run the pipeline on the real data (JOBS=... stages at a time, STAGES="..." for some of them)
	python -m tools.run $(if $(JOBS),--jobs $(JOBS)) $(STAGES)

quick: install  ## Run every kind of stage on a small sample in a scratch copy, for a first look
	python -m tools.quick .scratch

gpu: install  ## Train and evaluate the entries of params.gpu.yaml, sized as in the papers, in a copy of the project
	python -m tools.gpu .gpu

test: install  ## Run the tests
	pytest

test-slow: install  ## Run the slow tests: kills, fuzzing, queued experiments, then the whole pipeline again (verify)
	pytest -m slow --numprocesses 0 --capture=no
	$(MAKE) verify

lint: install  ## Check the format, the style, the types, and which module imports which
	ruff format --check .
	ruff check .
	mypy
	lint-imports

ui: install  ## Show the runs: MLflow on http://127.0.0.1:5000 (PORT=... for another port)
	@case "$$MLFLOW_TRACKING_URI" in \
	  http://*|https://*) echo "MLFLOW_TRACKING_URI names a server, and that server shows the runs itself" ;; \
	  *) echo "http://127.0.0.1:$(PORT) (Ctrl-C ends it)"; \
	    exec mlflow ui --host 127.0.0.1 --port $(PORT) \
	      --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" ;; \
	esac

deliver: install  ## Send the MLflow runs that were kept on disk while the store could not be reached
	python -m tools.deliver

verify: install  ## Run the pipeline again in a copy and say which outputs differ from dvc.lock (STAGES="..." for some)
	python -m tools.verify .verify $(STAGES)

audit: install  ## Ask whether a locked dependency is known to be vulnerable
	pip-audit --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock

prune: install  ## Remove the outputs of entries that are no longer in params.yaml
	python -m tools.prune

readme:  ## Write docs/results.md from docs/results.head.md and the tables in results/summary/report
	{ cat docs/results.head.md && \
	  printf '\n## The claims of the lectures\n\n' && cat results/summary/report/lectures.md && \
	  printf '\n## All entries\n\n' && cat results/summary/report/summary.md; } > docs/results.md.tmp
	mv docs/results.md.tmp docs/results.md

lock: install  ## Pin the dependencies of pyproject.toml anew, with hashes, for all platforms
	uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command 'make lock' --group dev pyproject.toml --output-file requirements.lock

clean:  ## Remove the environment, copies for a first look and for verify, and checkpoints; data, results and runs stay
	rm -rf .venv .scratch .verify .checkpoints src/*.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
