# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up first.
SHELL := /bin/bash
export LETHE_DEMO_STARTED := $(shell date +%s)
export HF_HUB_OFFLINE := 1
export OMP_WAIT_POLICY := passive
# uv does not read pip's settings: where wheels lie on this machine has to be handed on.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
export UV_LINK_MODE := copy
# Without its cache of bytecode Python compiles Prefect, Presidio and transformers anew in every process: 10 s each.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: setup demo test test-fast check lume methods methods-gpu exact attack-speed verdict-power bench-detect fairness ner annotator clean

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@echo "Setting up $(VENV) (once) ..."
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install -qq --disable-pip-version-check uv
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) -r requirements.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## the whole job on made-up people: out/demo/
	@$(VENV)/bin/lethe demo

test: $(READY) check  ## everything that must hold on any machine; eleven to fourteen minutes on two cores
	$(PYTHON) -m pytest --numprocesses=2 --dist=loadgroup

test-fast: $(READY)  ## without the servers
	$(PYTHON) -m pytest -m "not integration"

check: $(READY)  ## style, types, walls between the rooms
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

lume: $(READY)  ## the whole job on LUME people: one table, out/lume.json (an hour the first time)
	$(PYTHON) -m tests.benchmark.lume

methods: $(READY)  ## every method on small models, each with its paper's relation: out/methods.json (hours the first time; ONLY="npo retrain")
	$(PYTHON) -m tests.benchmark.methods $(if $(ONLY),--only $(ONLY))

SIZE := gpt2
methods-gpu:  ## the same on LUME people and GPT-2's size, with what is installed (torch, transformers, peft); SIZE=tiny for a CPU
	$(firstword $(wildcard $(PYTHON)) python3) -m tests.benchmark.methods_gpu --size $(SIZE)

exact: $(READY)  ## what exact deletion costs, against its law, and whether it is exact: out/exact.json (minutes)
	$(PYTHON) -m tests.benchmark.exact

attack-speed: $(READY)  ## what attacking costs, beside one forward pass: out/attack-speed.json (minutes)
	$(PYTHON) -m tests.benchmark.attack_speed

verdict-power: $(READY)  ## how often the verdict is wrong, over forty small models: out/verdict-power.json
	$(PYTHON) -m tests.benchmark.verdict_power

bench-detect: $(READY)  ## what the search finds, whom it touches, how fast it is: out/bench-detect.json (minutes)
	$(PYTHON) -m tests.benchmark.detect

fairness: $(READY)  ## shards of tiny classifiers by post-processing: errors and gaps, and the guaranteed order (minutes)
	$(PYTHON) -m tests.benchmark.fairness

ner: $(READY)  ## train the embedded name finder again: detectors/names/ (a quarter of an hour)
	$(PYTHON) -m detectors.ner

annotator: $(READY)  ## train the annotator's own model on generated texts, and say how good it is: out/annotator/ (ten minutes)
	$(PYTHON) -m flows.annotator_model

clean:
	rm -rf out build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
