# demo: the main job on real data, from nothing · test: every test · check: all that must hold before a commit
PY ?= python3.11
BIN := .venv/bin
WORKERS ?= 2
SECONDS ?= 60

# Each worker has one thread; two workers use two cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check format lint types docs bench fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ok: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PY) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/.ok ## fit, run, explain and report on real data; every command is echoed
	$(BIN)/diabolo demo

test: .venv/.ok ## every test
	$(BIN)/python -m pytest -n $(WORKERS)

coverage: .venv/.ok ## every test, and which lines they run
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

check: format lint types coverage docs ## format, lint, types, every test with its coverage, docs

format: .venv/.ok ## format the code in place
	$(BIN)/ruff format .

lint: .venv/.ok ## the rules of pyproject.toml
	$(BIN)/ruff check .

types: .venv/.ok ## strict types in src
	$(BIN)/mypy

docs: .venv/.ok ## write the generated pages, build the site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/.ok ## compare speed and accuracy; writes benchmarks/RESULTS.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks

fuzz: .venv/.ok ## throw broken files at the readers and the loader, SECONDS=60 for each
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	mkdir -p .hypothesis/fuzz
	set -e; for target in fuzz/*.py; do \
	    $(BIN)/python $$target -max_total_time=$(SECONDS) -artifact_prefix=.hypothesis/fuzz/; done

clean: ## remove what the other targets made
	rm -rf .venv site diabolo-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
