# One verb, one command. Everything sets itself up: a virtual environment, the wheels, the nats-server.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEEDUPS := $(wildcard src/tidings/nats/wire/_*.p[yx][xi])

.PHONY: help demo test test-here lint bench fuzz chaos chaos-jetstream soak docs site clean

help:            ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# An environment is good as long as nothing that defines it changed.
$(VENV)/.ready-%: pyproject.toml setup.py scripts/setup-venv.sh $(SPEEDUPS)
	@scripts/setup-venv.sh $(VENV) $(PYTHON) $*
	@touch $@

$(VENV)/.ready-lint: pyproject.toml setup.py scripts/setup-venv.sh $(SPEEDUPS)
	@scripts/setup-venv.sh $(VENV) $(PYTHON) lint test
	@touch $@ $(VENV)/.ready-test

demo: $(VENV)/.ready-demo   ## a year of temperatures through three services on an embedded server
	@$(BIN)/python -m examples.temperatures

test:            ## the suite: both wire twins, and each end of the Python versions found
	@PYTHON=$(PYTHON) scripts/test.sh

test-here: $(VENV)/.ready-test   ## the suite once: this Python, the wire twin at hand; ARGS="-k name" selects
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.ready-lint   ## format, style, types (mypy strict, pyright on the public API)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench:           ## beside natsio, nats-core, nats-py, FastStream and the C client; writes bench/results.md
	@PYTHON=$(PYTHON) scripts/bench.sh

fuzz: $(VENV)/.ready-test   ## the wire core under AddressSanitizer; ARGS="--seconds 600" for longer
	@PYTHON=$(BIN)/python scripts/fuzz-wire.sh $(ARGS)

chaos: $(VENV)/.ready-test   ## faults at random, and nothing lost in silence; ARGS="--seconds 10", --write for the docs
	@$(BIN)/python scripts/chaos.py $(ARGS)
	@$(BIN)/python scripts/chaos_jetstream.py $(ARGS)

chaos-jetstream: $(VENV)/.ready-test   ## the second half of it alone, around a replicated stream
	@$(BIN)/python scripts/chaos_jetstream.py $(ARGS)

SECONDS ?= 600
soak: $(VENV)/.ready-test   ## 100,000 messages a second for ten minutes, and nothing grows; SECONDS=60 for less
	@$(BIN)/python scripts/soak.py --seconds $(SECONDS) $(ARGS)

docs: site $(VENV)/.ready-test   ## build the docs as a site, and run every snippet of them and of the README
	@$(BIN)/python -m pytest -q tests/docs

site: $(VENV)/.ready-docs   ## the first half of it alone: site/index.html; a warning or a link to nowhere is an error
	@$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html -d build/docs docs site

clean:           ## remove what the other verbs made
	rm -rf .venv .venv-* build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f src/tidings/nats/wire/_speedups.c src/tidings/nats/wire/*.so
