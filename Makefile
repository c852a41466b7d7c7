# Every target that needs the environment makes it first; a second time that takes
# a fraction of a second. Another interpreter: make setup PYTHON=python3.12
PYTHON ?= $(or $(wildcard .venv/bin/python),python3)
VENV := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo bench test test-all soak docs lint types clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Make or update .venv with everything the project needs.
	@$(PYTHON) tools/setup_env.py

demo: setup ## Pretrain and evaluate a small spiking network on this machine.
	$(VENV)/python tools/demo.py

bench: setup ## Measure speed and memory against the rivals on this machine.
	$(VENV)/python benchmarks/run.py

# A process per core, at most four; more threads than cores would only wait.
test: lint types ## Run the linter, the type checker and the tests.
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(VENV)/python -m pytest -n auto --maxprocesses 4

# On its own, a slow test may use all cores.
test-all: test ## Run the tests that are left out by default, too.
	$(VENV)/python -m pytest -m slow

# Into a new folder, since results files are continued.
soak: SOAK := work_dirs/soak/$(shell date +%Y%m%d_%H%M%S)
soak: setup ## Fuzz for long, kill twenty trainings, train for an hour (90 minutes).
	$(VENV)/python benchmarks/slurm_cluster.py --install
	$(VENV)/python -m pytest -m slow
	$(VENV)/python benchmarks/fuzz.py --out $(SOAK)/fuzz.json
	$(VENV)/python benchmarks/kills.py --kills 20 --epochs 5 --out $(SOAK)/kills.json
	$(VENV)/python benchmarks/long_run.py --minutes 60 --out $(SOAK)/long_run.json

docs: setup ## Build the site into docs/_build/html and check it.
	@$(VENV)/python -m pip install -q -c .venv/constraints.txt -r docs/requirements.txt
	$(VENV)/python docs/notebooks.py
	$(VENV)/python -m sphinx -W -n --keep-going -q -j 2 docs docs/_build/html
	$(VENV)/python docs/check_site.py
	$(VENV)/python docs/check_browser.py

lint: setup ## Check style and format.
	$(VENV)/python -m ruff check
	$(VENV)/python -m ruff format --check

types: setup ## Check the types.
	$(VENV)/python -m mypy

clean: ## Remove build products and tool caches; keep .venv, data and work_dirs.
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
