# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CODE = src tests benchmarks tools integrations
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo ui test test-slow test-serve docs clean

demo: $(VENV)/.installed
	$(BIN)/unsee demo --out demo-out

ui: $(VENV)/.installed
	$(PIP) --editable ".[ui]"
	$(BIN)/unsee ui

# Two processes of one thread each: the usual machine has two cores, and most tests are too small to share one.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations 15

test: $(VENV)/.tested
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright --project pyproject.toml
	$(PYTEST) -m "not slow"

# What takes a minute or more each: a proof on a real language model, which is fetched once (93 MB), and 8-bit layers,
# whose libraries lie beside the environment.
test-slow: $(VENV)/.tested
	$(BIN)/unsee models get smollm2
	PYTHONPATH=$(VENV)/eight-bit $(BIN)/python -m pytest tests/contract/test_deployment.py -k eight_bit
	$(PYTEST) -m slow

# vLLM has an environment of its own: it is large and pins other versions.
test-serve:
	VENV=.venv-vllm tests/serve/run.sh

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: the constraint names the CPU wheel, and without it the rest would pull the CUDA build.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable ".[test,train]"
	$(PIP) --no-deps --target $(VENV)/eight-bit torchao bitsandbytes
	touch $@

# The site, in site/: a broken link or a name that the reference cannot find is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) demo-out site
