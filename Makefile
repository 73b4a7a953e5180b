# Everything is installed into .venv with pip, at the versions of constraints.txt. A fresh machine needs Python and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The model of make demo: a name of 'synthseg models list', or a card.
DEMO_MODEL ?= default
SMK := workflow/Snakefile $(wildcard workflow/rules/*.smk)

.PHONY: help demo test test-slow test-slurm check docs bench wheel default-weights head-weights scout-weights default-qc rulegraph clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        segment three scans made from a template, with a picture at the end"
	@echo "make test        tests, under 10 minutes on 2 cores"
	@echo "make test-slow   full volumes, long runs"
	@echo "make test-slurm  tests on a local SLURM, where there is one"
	@echo "make check       linters, types, import rules, workflow style, spelling, links of the pages"
	@echo "make docs        the pages as a site, in build/site"
	@echo "make bench       time by stage and peak memory"
	@echo "make default-weights FROM=FOLDER   carry this trained model in the package, as the default"
	@echo "make head-weights FROM=FOLDER   carry this trained model of the whole head beside it"
	@echo "make default-qc MAPS=FOLDER HELD_OUT=FOLDER   train, score and carry its quality model, an hour or two"
	@echo "make rulegraph   write docs/rulegraph.md anew, after a change of rules"
	@echo "make wheel       the package, with the workflow inside, in dist/"
	@echo "make clean       remove what make made, .venv excepted"

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Not again when something is installed: the same scans would be segmented again.
demo/bids/README.md: | $(INSTALLED)
	$(BIN)/python -m synthseg_core.cli.demo dataset demo/bids

demo: demo/bids/README.md
	$(BIN)/synthseg-bids demo/bids demo/derivatives participant --model $(DEMO_MODEL)
	$(BIN)/python -m synthseg_core.cli.demo picture demo/derivatives demo/segmentations.png --model $(DEMO_MODEL)
	@echo
	@$(BIN)/python -m synthseg_core.cli.demo weights --model $(DEMO_MODEL)
	@echo "Look at demo/derivatives/group.html, at demo/segmentations.png, and at the tables in demo/derivatives. Run"
	@echo "'make demo' again and nothing is segmented; delete a file there and only what is missing comes back."

# Two at a time, each file as a whole; a single test: .venv/bin/python -m pytest FILE -k NAME.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not slurm and not gpu"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m "slow and not slurm and not gpu"

test-slurm: $(INSTALLED)
	$(BIN)/python -m pytest -m slurm

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check $(SMK)
	$(BIN)/snakemake --lint
	$(BIN)/hadolint Dockerfile
	$(BIN)/codespell
	$(BIN)/mkdocs build --strict

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html."

# The straight port runs in turns with the published networks, whose weights have to be there (synthseg models fetch).
BENCH_SCAN ?= $(SYNTHSEG_TEST_DATA)/images/chris_t1.nii.gz
BENCH_FLAGS ?= --with "--model default" --with "" --with=--fast --with=--robust --with "--parc --qc {qc}" \
	--yardstick "$(BIN)/python tests/benchmarks/straight.py {scan} {out}"
bench: $(INSTALLED)
	mkdir -p benchmarks
	$(BIN)/synthseg bench $(BENCH_SCAN) $(BENCH_FLAGS) --history benchmarks/history.json --page docs/performance.md
	$(BIN)/python tests/benchmarks/bench_generator.py
	$(BIN)/python tests/benchmarks/bench_planning.py
	$(BIN)/python tests/benchmarks/bench_group.py
	$(BIN)/python tests/benchmarks/bench_evaluate.py
	$(BIN)/python tests/benchmarks/bench_engine.py

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

rulegraph: $(INSTALLED)
	$(BIN)/python workflow/rulegraph.py

# FROM: a model folder that training exported and 'synthseg validate --record' scored.
MODEL_NAME ?= default-2mm
default-weights: $(INSTALLED)
	$(BIN)/python -m synthseg_core.models.make_default $(FROM)/card.yaml --name $(MODEL_NAME) $(if $(TITLE),--title '$(TITLE)')

# FROM as above, of a training with the preset head_2mm.
HEAD_NAME ?= head-2mm
head-weights: $(INSTALLED)
	$(BIN)/python -m synthseg_core.models.make_default $(FROM)/card.yaml --beside --name $(HEAD_NAME) $(if $(TITLE),--title '$(TITLE)')

# FROM as above, of a training with the preset scout: the model that finds the brain for others.
scout-weights: $(INSTALLED)
	$(BIN)/python -m synthseg_core.models.make_default $(FROM)/card.yaml --beside $(if $(TITLE),--title '$(TITLE)')

# After every change of the default model: its quality model is trained on what it makes of synthetic scans.
QC_OUT ?= build/default-qc
QC_PRESET ?= quality_2mm
default-qc: $(INSTALLED)
	$(BIN)/synthseg train --task quality --preset $(QC_PRESET) --segmenter default --maps $(MAPS) \
		--validation-maps $(HELD_OUT) --out $(QC_OUT) --name default-qc
	$(BIN)/synthseg validate --model $(QC_OUT)/model/card.yaml --segmenter default --maps $(HELD_OUT) \
		--recipe $(QC_PRESET) --cache $(QC_OUT)/pairs/scored --out $(QC_OUT)/validation --record
	$(BIN)/python -m synthseg_core.models.make_default $(QC_OUT)/model/card.yaml --quality

clean:
	rm -rf build dist demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache .snakemake .coverage*
