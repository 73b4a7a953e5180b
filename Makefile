# Everything is installed into .venv with pip, at the versions of constraints.txt. A fresh machine needs Python and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SMK := workflow/Snakefile $(wildcard workflow/rules/*.smk)

.PHONY: help demo test test-slow test-slurm check bench wheel default-weights clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        segment phantoms with a tiny random network, in a minute"
	@echo "make test        tests, under 10 minutes on 2 cores"
	@echo "make test-slow   full volumes, long runs"
	@echo "make test-slurm  tests on a local SLURM, where there is one"
	@echo "make check       linters, types, import rules, workflow style, spelling"
	@echo "make bench       time by stage and peak memory"
	@echo "make default-weights FROM=FOLDER   carry this trained model in the package, as the default"
	@echo "make wheel       the package, with the workflow inside, in dist/"
	@echo "make clean       remove what make made, .venv excepted"

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo/bids/README.md: $(INSTALLED)
	$(BIN)/python -m synthseg_core.demo demo/bids

demo: demo/bids/README.md
	$(BIN)/synthseg-bids demo/bids demo/derivatives participant --model tiny-random --device cpu
	@echo
	@cat demo/derivatives/group_seg-synthseg_volumes.tsv
	@echo
	@echo "The weights of this demonstration are RANDOM: label maps and volumes mean nothing anatomically."
	@echo "Look at demo/derivatives; run 'make demo' again and nothing is computed; delete a file there and only"
	@echo "what is missing comes back."

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not slurm and not gpu"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m "slow and not slurm and not gpu"

# Status 5 of pytest: nothing was collected.
test-slurm: $(INSTALLED)
	@$(BIN)/python -m pytest -m slurm || { status=$$?; \
	  test $$status -eq 5 && echo "There are no tests for SLURM yet." || exit $$status; }

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check $(SMK)
	$(BIN)/snakemake --lint
	$(BIN)/codespell

bench: $(INSTALLED)
	$(BIN)/python tests/benchmarks/bench_predict.py

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

# FROM: a model folder that training exported and 'synthseg validate --record' scored.
MODEL_NAME ?= default-2mm
default-weights: $(INSTALLED)
	$(BIN)/python -m synthseg_core.adoption $(FROM)/card.yaml --name $(MODEL_NAME) $(if $(TITLE),--title '$(TITLE)')

clean:
	rm -rf build dist demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache .snakemake .coverage*
