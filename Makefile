# Needs python3.11 and make; everything else is installed into .venv and .envs.

PYTHON ?= python3.11
AIRFLOW_VERSION ?= 3.3.2
WORKERS ?= 2
EXAMPLES ?= 10000
HOSTILE_ANSWERS ?= 2000
SEED ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
CONSTRAINTS := $(wildcard requirements/airflow-$(AIRFLOW_VERSION).txt)
INSTALLED := $(VENV)/.installed-airflow-$(AIRFLOW_VERSION)
SDKS := $(VENV)/sdks/.installed

# Airflow is two thousand modules: compiled again in each of the processes that a command starts, they take most of its time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up test wheel e2e e2e-webhook e2e-celery torture hostile fuzz lint format matrix stores browser bench bench-memory samples profiles clean

help: ## Show these commands
	@echo "Usage: make COMMAND [ARGS=...]"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

demo: $(INSTALLED) ## Enhance the sample photos on a real Airflow, from S3 and back; results, table and contact sheet
	@$(BIN)/python -m tools.demo $(ARGS)

up: $(INSTALLED) ## Start a live Airflow with its UI, wired to the sandbox; Ctrl-C stops it
	@$(BIN)/python -m tools.up $(ARGS)

test: $(INSTALLED) $(SDKS) ## Run the test suite; ARGS=--cov counts the lines and branches that it walks
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

e2e: $(INSTALLED) ## Run the nightly DAG on a live Airflow through deferrals, kills and clears; check books and files
	@$(BIN)/python -m tools.e2e $(ARGS)

e2e-webhook: $(INSTALLED) ## Let the sandbox's webhook wake a DAG on a live Airflow, once, after a flood of forged calls
	@$(BIN)/python -m tools.e2e_webhook $(ARGS)

e2e-celery: $(INSTALLED) ## Run docker-compose.yaml's services natively, and kill, freeze and starve them (ARGS="--only NAME", ARGS=--briefly)
	@$(BIN)/python -m tools.celery $(ARGS)

torture: $(INSTALLED) ## Try 10,000 random nights of faults, kills and changes, brackets among them, against the promises (EXAMPLES=...)
	@TORTURE_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -o faulthandler_timeout=0 -n $(WORKERS) tests/crash/test_stateful.py tests/crash/test_image_nights.py $(ARGS)

hostile: $(INSTALLED) ## Play 2,000 hostile answers (HOSTILE_ANSWERS=...) to every hook method, and answers of 300 MB, with a fresh seed (SEED=...)
	@$(BIN)/python -m tests.hostile --answers $(HOSTILE_ANSWERS) $(addprefix --seed ,$(SEED)) $(ARGS)

fuzz: $(INSTALLED) ## Give damaged files to each reader and to whole conversions (ARGS="--inputs 100000 --only conversion")
	@$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(INSTALLED) ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

stores: $(INSTALLED) ## Run the table of promises over S3, Azure, Google Cloud Storage and SFTP, each on a server of its own
	@$(BIN)/python -m tools.stores $(ARGS)

browser: $(INSTALLED) ## Look at the gallery in Chromium on a live Airflow; pictures in .run/browser (ARGS="--photos 1000")
	@$(BIN)/python -m tools.browser $(ARGS)

matrix: $(INSTALLED) ## Run the tests that touch Airflow on each supported version, in its own environment
	@$(BIN)/python -m tools.matrix $(ARGS)

bench: $(INSTALLED) ## Measure throughput, growth, waiting, parsing and conversion beside what one would use instead; writes docs/performance.md
	@$(BIN)/python -m tools.bench $(ARGS)

bench-memory: $(INSTALLED) ## Measure the peak memory of a task for few and many, small and big photos
	@$(BIN)/python -m tools.bench_memory $(ARGS)

wheel: | $(UV) ## Build the wheel, and the archive of its source, into dist/
	@$(UV) build --quiet --python $(BIN)/python --out-dir dist .
	@ls dist/*.whl

samples: | $(UV) ## Render the sample photos again from their scenes (needs POV-Ray)
	@$(UV) run --quiet --no-project --python $(PYTHON) --with-requirements samples/requirements.txt python samples/render.py $(ARGS)

profiles: ## Compile the print profiles again from free data (needs Debian's argyll and icc-profiles-free)
	@$(PYTHON) profiles/build.py $(ARGS)

clean: ## Delete environments, caches and what the commands left behind
	rm -rf $(VENV) .envs .run build dist *.egg-info htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: install Python 3.11, or name another with make PYTHON=python3.12" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

$(INSTALLED): pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	@echo "Installing Airflow $(AIRFLOW_VERSION) and the provider into $(VENV) (a minute or so the first time)"
	@$(UV) pip install --python $(BIN)/python --quiet -e '.[dev,sandbox,imaging]' apache-airflow==$(AIRFLOW_VERSION) $(addprefix -c ,$(CONSTRAINTS))
	@rm -f $(VENV)/.installed-airflow-*
	@touch $@

# Older versions of the vendor's own SDK, each in a folder of its own: the tests let them drive the sandbox.
$(SDKS): | $(INSTALLED)
	@for version in 1.0.0 1.0.4 1.0.7; do \
		$(UV) pip install --python $(BIN)/python --quiet --no-deps --target $(VENV)/sdks/$$version autoenhance==$$version || exit 1; \
	done
	@touch $@
