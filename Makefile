# `make demo` runs the main job, `make test` the tests. Both first create .venv, once.
#   PYTHON=python3.12   the interpreter that .venv is made from (default: 3.11 where there is one)
#   VENV=path           another environment than .venv
#   ARGS="..."          passed on to the command, e.g. make test ARGS="-k queue"
PYTHON ?=
VENV   ?= .venv
ARGS   ?=
UPSTREAM_VENV ?= .venv-upstream

# Threads that wait busily take the cores from those that work; and without a higher threshold every
# large tensor is given back to the system and fetched again, a fifth of a step on the CPU.
export OMP_WAIT_POLICY ?= PASSIVE
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 4294967296

# Two tests at a time, each file by one process; ARGS="-n 0" takes them one by one, for --pdb.
TWO = -n 2 --dist loadfile

# Absolute, so that a command may change directory.
PY = $(abspath $(VENV))/bin/python

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-sound sound-controls table4 tables-sound smoke test test-slow test-faults test-matrix test-upstream lint docs clean

help:  ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv:  ## create or update .venv (nothing to do the second time)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/setup_env.sh

demo: venv  ## the main job in small: MoCo v2, then DenseCL without forgetting it
	@$(PY) tools/demo.py $(ARGS)

demo-sound: venv  ## the same for sound: B, then C, then A on simulated 360-degree streets
	@$(PY) tools/demo_sound.py $(ARGS)

sound-controls: venv  ## the tasks of sound learn from sound, and learn nothing without it
	@$(PY) tools/benchmarks/sound_controls.py $(ARGS)

table4: venv  ## the paper's Table 4 at demo size, e.g. ARGS="--rows il_mocov2_densecl --seeds 3"
	@$(PY) tools/reproduce.py table4 $(ARGS)

tables-sound: venv  ## the paper's Tables 2a, 2b and 3 at demo size (hours), e.g. ARGS="--seeds 2"
	@$(PY) tools/reproduce.py sound $(ARGS)

smoke: venv  ## Table 4's main rows, tiny, in under 3 minutes: that everything runs
	@$(PY) tools/reproduce.py table4 --scale smoke --jobs 2 \
		--rows random mocov2 mtl_mocov2_densecl il_mocov2_densecl $(ARGS)

test: lint  ## lint and the tests
	@echo "[test] pytest, all but the slow tests"
	@$(PY) -m pytest tests -m "not slow and not faults" $(TWO) $(ARGS)

test-slow: venv  ## the tests that take minutes each
	@$(PY) -m pytest tests -m slow $(ARGS)

test-faults: venv  ## damage, kills, signals, stopped ranks, full disks, a soak; in real runs, 10 to 20 minutes
	@echo "[faults] a line for each test; the longest take some minutes"
	@$(PY) -m pytest tests -m faults -vv --durations=0 --durations-min=5 $(TWO) $(ARGS)

test-matrix:  ## the tests on Python 3.10, 3.11 and 3.12, with both package lines (hours)
	@results=; status=0; \
	for version in 3.10 3.11 3.12; do \
		is() { "$$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null; }; \
		python=python$$version; \
		is $$python || python=$$({ pyenv prefix "$$(pyenv latest $$version)"; } 2>/dev/null)/bin/python; \
		is $$python || { results="$$results[matrix] Python $$version: not here\n"; continue; }; \
		for what in test test-upstream; do \
			echo "[matrix] Python $$version, make $$what"; \
			if $(MAKE) $$what PYTHON=$$python VENV=.venv-$$version \
				UPSTREAM_VENV=.venv-upstream-$$version ARGS="$(ARGS)"; \
			then result=passed; else result=failed; status=1; fi; \
			results="$$results[matrix] Python $$version, make $$what: $$result\n"; \
		done; \
	done; \
	printf "$$results"; exit $$status

test-upstream:  ## the tests on the original OpenMMLab distributions, in an environment of its own
	@PYTHON="$(PYTHON)" VENV="$(UPSTREAM_VENV)" bash tools/setup_env.sh upstream
	@$(abspath $(UPSTREAM_VENV))/bin/python -m pytest tests -m "not slow and not faults" $(TWO) $(ARGS)

lint: venv  ## style and docstrings (ruff), spelling (codespell), types (mypy)
	@echo "[lint] ruff, codespell, mypy"
	@$(PY) -m ruff check .
	@$(PY) -m codespell_lib
	@$(PY) -m mypy

docs: venv  ## the documentation, in site/; its links, names and code are checked
	@echo "[docs] mkdocs, and the code and commands of the pages"
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)
	@$(PY) -m pytest tests/test_docs.py tests/test_tutorials -k "not builds_strictly"

clean:  ## remove caches and builds; environments, data and runs (work_dirs) stay
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
