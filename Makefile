# `make` builds the environment, then the default study's table. `make help` lists the rest.
# All of it is safe to repeat: what is up to date is left alone, what was interrupted goes on.

# The interpreter to build .venv with; empty: the first fitting one on the PATH.
PYTHON ?=

# Tests at a time: one per core of the smallest machine that is supported. They train models with one thread each.
WORKERS ?= 2

# The study that status, plan and provenance look at.
STUDY ?= config/tiny.yaml
# Where its results lie.
RESULTS = results/$(shell sed -n 's/^name: *//p' $(STUDY))

# How often, and the study whose run, is killed by test-kill.
KILLS ?= 30
KILLED ?= config/tiny.yaml

# As in an activated environment, whatever the caller's shell or cluster modules have set.
unexport PYTHONHOME PYTHONPATH
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

.DEFAULT_GOAL := table
.NOTPARALLEL:
.PHONY: table report status plan provenance env test browser test-slurm test-kill lint types unit vllm test-vllm format reference lock
.PHONY: clean-env help

table: env ## (or just make) build .venv if need be, then results/table2.csv and the rest of the study
	$(RUN) snakemake --cores all results/table2.csv all
	@echo "Table 2: results/table2.csv, to read: results/tiny/table2.md, to look at: results/tiny/figures/out_score.png"
	@echo "What GRPO on one domain gains on that domain: results/tiny/own_domain.csv"

report: env ## results/<study>/report.html: the whole study in one file, to read and to pass on (STUDY=config/paper.yaml)
	$(RUN) snakemake --cores all --configfile $(STUDY)
	$(RUN) snakemake --configfile $(STUDY) --report $(RESULTS)/report.html --report-stylesheet report/style.css
	@echo "report: $(RESULTS)/report.html"

status: env ## how far the study is, also while it runs (STUDY=config/paper.yaml)
	@$(RUN) python scripts/status.py --study $(STUDY)

plan: env ## what the study will run, and its hours and disk (STUDY=config/paper.yaml)
	@$(RUN) python scripts/plan.py --study $(STUDY)

provenance: env ## the chain behind one number of Table 2 (MIXTURE=all BENCHMARK=chart)
	@$(RUN) python scripts/provenance.py --study $(STUDY) --mixture "$(MIXTURE)" --benchmark "$(BENCHMARK)"

env: ## build .venv from the hashed locks in envs/ (PYTHON=/path/to/python)
	@PYTHON="$(PYTHON)" envs/build.sh

test: env browser lint types ## everything that CI checks
	$(RUN) pytest -n $(WORKERS) --dist loadfile

test-slurm: env ## what happens to jobs on a real Slurm, which is installed if need be (as root)
	@tests/slurm/install.sh
	$(RUN) pytest tests/slurm

test-kill: env ## a run and a download killed at random moments (KILLS=30 KILLED=config/tiny.yaml)
	KILLS=$(KILLS) KILLED=$(KILLED) $(RUN) pytest -s tests/kill

browser: ## Debian's Chromium and its driver, for the explorer's tests; without root they are skipped where it is missing
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	else echo "browser: no chromium here: the explorer's tests in it are skipped"; fi; fi

lint: env ## style of Python, Snakefiles and rules
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) snakemake --lint

types: env ## mypy
	$(RUN) mypy

unit: env ## the tests that take seconds
	$(RUN) pytest -n $(WORKERS) --dist loadfile -m "not slow"

vllm: env ## vLLM in .venv-vllm, over .venv: what `vllm:` and `engine: vllm` in a study want
	@envs/vllm.sh

test-vllm: vllm ## vLLM for real, on the CPU: GRPO and predictions with it (torch for the CPU)
	PATH="$(CURDIR)/.venv-vllm/bin:$$PATH" python -m pytest tests/evaluation/test_vllm.py

format: env ## rewrite Python, Snakefiles and rules in the house's style
	$(RUN) ruff check --fix
	$(RUN) ruff format
	$(RUN) snakefmt Snakefile rules

reference: env ## docs/config.md, the schema for editors and the rule graph, from models and rules
	$(RUN) snakemake --rulegraph mermaid-js --configfile config/test.yaml 2>/dev/null | $(RUN) python \
		scripts/reference.py --output docs/config.md --schema config/study.schema.json --graph docs/architecture.md

lock: env ## envs/requirements.in -> locks and conda files (UPGRADE=1: the newest that fit)
	$(RUN) python envs/lock.py $(if $(UPGRADE),--upgrade)
	@echo "lock: now make env, make test"

clean-env: ## remove .venv
	rm -rf .venv

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
