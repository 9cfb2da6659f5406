# Second Look. `make` lists the targets; each of them does all the set-up it needs on a fresh clone.
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= all
SNAKEMAKE_ARGS ?=
PYTHONS ?= 3.11 3.12 3.13
PYTEST_ARGS ?=
DRY ?= 1
LOCK := envs/requirements.txt
DEV_LOCK := envs/requirements-dev.txt
# servers and SDKs of other tools; slow tests install them apart, as they hold packages back
EXCHANGE_LOCK := tests/exchange/requirements.txt
# the longest first; each file has a cluster of its own
SLURM_TESTS := tests/slurm/test_slurm.py $(filter-out %/test_slurm.py %/test_accounting.py,$(wildcard tests/slurm/test_*.py))
export PATH := $(abspath $(BIN)):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
# compiled modules are kept, whatever the shell says: without them a job compiles PyTorch anew, for half of its start
export PYTHONDONTWRITEBYTECODE :=
# certificates of the machine, for those behind a proxy of their own
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo tutorials test test-slow coverage test-kills test-paper test-slurm test-slurm-db test-pythons lint bench bench-gpu docs site plan lock release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## create .venv with the locked packages; does nothing when it is there
setup-dev: $(VENV)/.ready-dev ## the same with the tools of tests and lint

demo: $(VENV)/.ready ## draw street scenes, correct their labels, write the report (two to three minutes)
	@secondlook run demo --cores $(CORES) $(SNAKEMAKE_ARGS)

test: $(VENV)/.ready-dev lint ## lint and run the tests, without the slow ones
	pytest -n auto --dist worksteal -m "not slow"
	@if [ -z "$$(git status --porcelain 2>/dev/null)" ]; then git rev-parse HEAD >.tested 2>/dev/null || true; fi

test-slow: $(VENV)/.ready-dev ## the slow tests: simulations and trainings of a minute each
	pytest -n auto --dist worksteal -m slow

coverage: $(VENV)/.ready-dev ## which lines the tests run, by file and in htmlcov/
	pytest -n auto --dist worksteal -m "not slow" --cov=secondlook --cov-report=term:skip-covered --cov-report=html

test-slurm: $(VENV)/.ready-dev ## the workflow on a real Slurm that is brought up for it (about ten minutes)
	@$(call apt_get,slurmctld munged,slurmctld slurmd slurm-client munge)
	SECONDLOOK_SLURM=1 pytest $(SLURM_TESTS) -n 2 --dist loadfile --no-loadscope-reorder --timeout 3600

test-paper: $(VENV)/.ready-dev ## the paper from end to end on small datasets with tiny checkpoints (about seven minutes)
	SECONDLOOK_PAPER=1 pytest tests/paper --timeout 3600

test-kills: $(VENV)/.ready-dev ## the demo killed at 16 random moments ends in the same bytes (more than five minutes)
	SECONDLOOK_KILLS=16 pytest tests/workflow/test_workflow.py -k killed

test-slurm-db: $(VENV)/.ready-dev ## the same with a database: sacct and the efficiency report (a minute)
	@$(call apt_get,slurmctld munged slurmdbd mariadbd,slurmctld slurmd slurm-client munge slurmdbd mariadb-server)
	SECONDLOOK_SLURM=1 pytest tests/slurm/test_accounting.py

test-pythons: $(VENV)/.uv ## the fast tests on Python 3.11, 3.12 and 3.13 where uv has them (PYTHONS, PYTEST_ARGS)
	@$(BIN)/python .ci/pythons.py $(PYTHONS) -- $(PYTEST_ARGS)

# Install packages where one of the programs is missing; without root say so, and the tests skip.
define apt_get
missing=; for program in $(1); do command -v $$program >/dev/null || missing=$$program; done; \
if [ -z "$$missing" ]; then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
else echo "make: $$missing is missing; 'apt-get install $(2)' as root brings it." >&2; fi
endef

lint: $(VENV)/.ready-dev ## ruff, mypy, codespell, snakefmt, snakemake --lint, hadolint, secondlook check, the docs
	ruff check
	ruff format --check
	mypy
	codespell
	snakefmt --check Snakefile rules
	snakemake --lint
	hadolint envs/Dockerfile
	secondlook check
	python docs/generate.py --check
	python docs/figures.py --check
	pytest -n 0 tests/test_docs.py tests/test_docs_style.py tests/test_comparison.py

bench: $(VENV)/.ready-dev ## measure beside references; TOY=1: in two minutes, only to see that every bench runs
	@python bench $(if $(TOY),--toy)

bench-gpu: $(VENV)/.ready-dev ## measure this GPU for `secondlook plan`, into bench/results (at most eight minutes)
	@python bench gpu

docs: $(VENV)/.ready-dev ## write the pages of docs/ that come from the code
	python docs/generate.py
	python docs/figures.py

site: $(VENV)/.ready-dev ## build the documentation site into site/ and check its links; no network
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	python docs/check_site.py

tutorials: $(VENV)/.ready-dev ## run the tutorials, on drawn data; from then on `make site` shows what they show
	python docs/run_tutorials.py --shown .tutorials

plan: $(VENV)/.ready ## what the run in config.yaml costs
	@secondlook plan

lock: $(VENV)/.uv ## compile the lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  pyproject.toml -o $(LOCK)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  pyproject.toml --extra dev -c $(LOCK) -o $(DEV_LOCK)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  $(EXCHANGE_LOCK:.txt=.in) -o $(EXCHANGE_LOCK)

release: $(VENV)/.ready-dev ## what a release VERSION=x.y.z would do; with DRY=0 it does it, and pushes nothing
	@python .ci/release.py "$(VERSION)" $(if $(filter 0,$(DRY)),--really)

clean: ## remove results, logs and the environment
	rm -rf results logs site .tutorials data/demo_signs data/video_demo data/retrieve_demo data/scenes_demo .snakemake $(VENV) .venv-*

# A killed set-up leaves no stamp, so the next one starts from nothing.
$(VENV)/.uv:
	@rm -rf $(VENV)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: Python 3.11 or newer is needed; 'python3 --version' says otherwise." >&2; exit 2; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory install-venv-module
	@python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	@touch $@

.PHONY: install-venv-module
install-venv-module:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	else echo "make: Python's venv module is missing; run 'apt-get install python3-venv' as root." >&2; exit 2; fi

$(VENV)/.ready: $(VENV)/.uv $(LOCK) pyproject.toml
	@echo "setting up $(VENV) (once; about 6 GB with PyTorch)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready $(DEV_LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(DEV_LOCK)
	@touch $@
