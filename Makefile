# PYTHON is the interpreter to start from, 3.11 or newer. VENV and CORE_VENV are the virtual
# environments made from it: one with everything, one without torch.
PYTHON    ?= python3
VENV      ?= .venv
CORE_VENV ?= .venv-core
DEMO      ?= build/demo

INDEX    := $(DEMO)/python.winnow
PACKAGES := api encoders eval indexer kernels retriever
SOURCES  := $(shell find $(PACKAGES) -type f -not -path '*/__pycache__/*')
PINS     := constraints.txt pyproject.toml

EVERYTHING := .[encode,peers,test,test-encode,lint]
CORE       := .[test,lint]

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve test test-core lint format clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(INDEX)/manifest.json  ## index the documentation of Python itself and ask three questions
	$(VENV)/bin/indexer search $(INDEX) -k 5 "run another program and capture its output"
	$(VENV)/bin/indexer search $(INDEX) -k 5 "compare two texts and show the differences line by line"
	$(VENV)/bin/indexer search $(INDEX) -k 5 "pick random elements from a list"
	@printf '\nAsk your own question:    %s "..."\n' '$(VENV)/bin/indexer search $(INDEX)'
	@printf 'See how a score adds up:  the same with --explain\n'
	@printf 'Serve it over HTTP:       %s\n' '$(VENV)/bin/indexer serve python=$(INDEX)'

serve: $(INDEX)/manifest.json  ## serve the index of the demo on 127.0.0.1
	$(VENV)/bin/indexer serve python=$(INDEX)

test: lint  ## lint, types, import contracts and all tests, those with torch included
	$(VENV)/bin/pytest

test-core: $(CORE_VENV)/.installed  ## the same in an environment without torch
	! $(CORE_VENV)/bin/python -c 'import torch' 2> /dev/null
	$(call check,$(CORE_VENV))
	$(CORE_VENV)/bin/pytest -m 'not torch'

lint: $(VENV)/.installed-all  ## lint, types and import contracts
	$(call check,$(VENV))

format: $(VENV)/.installed-all  ## apply the fixes and the format that lint asks for
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

clean:  ## remove the environments, the demo and all caches
	rm -rf $(VENV) $(CORE_VENV) build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(INDEX)/manifest.json: $(VENV)/.installed $(SOURCES) examples/python_documentation.py
	$(VENV)/bin/python examples/python_documentation.py $(DEMO)/python
	$(VENV)/bin/indexer build $(DEMO)/python -o $(INDEX) --overwrite

$(VENV)/.installed: $(PINS)
	$(call install,$(VENV),--editable .)

$(VENV)/.installed-all: $(PINS)
	$(call install,$(VENV),--editable '$(EVERYTHING)')

$(CORE_VENV)/.installed: $(PINS) $(SOURCES)
	rm -rf build/lib
	$(call install,$(CORE_VENV),'$(CORE)')

# $(1): virtual environment, $(2): what pip installs. The target is a stamp.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Winnow needs Python 3.11 or newer")'
test -x $(1)/bin/pip || $(PYTHON) -m venv $(1)
@echo 'Installing into $(1), which takes a minute or two ...'
$(1)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(2)
@touch $@
endef

define check
$(1)/bin/ruff check
$(1)/bin/ruff format --check
$(1)/bin/mypy
$(1)/bin/lint-imports
endef
