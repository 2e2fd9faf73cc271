# `make` builds the environment, then runs the default study. `make help` lists the rest.
# Every target can be repeated: what is up to date stays, what was interrupted continues.

# The interpreter to build .venv with; empty: the first one on the PATH that fits.
PYTHON ?=

# The study that table, report, status, plan and provenance are about, and the folder of its results; what is wrong with a
# study is told by what reads it next.
STUDY ?= config/tiny.yaml
NAME = import sys; from modomodo.config.reading import read_yaml; print(read_yaml(sys.argv[1])["name"])
RESULTS = results/$(shell $(RUN) python -c '$(NAME)' "$(STUDY)" 2>/dev/null)

# Tests at a time: one per core of the smallest machine that is supported. They train models with one thread each.
WORKERS ?= 2

# How often test-kill kills a run, and of which study.
KILLS ?= 30
KILLED ?= config/tiny.yaml

# As in an activated environment, whatever the caller's shell or cluster modules have set.
unexport PYTHONHOME PYTHONPATH
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

.DEFAULT_GOAL := table
.NOTPARALLEL:
.PHONY: table report export archive reproduce status watch plan provenance env env-dev vllm lmms clean-env
.PHONY: tables rivals test lint types unit format test-slurm test-kill test-conda test-vllm test-lmms browser reference lock help

table: env ## (or just make) the whole study and results/table2.csv (STUDY=config/paper.yaml)
	$(RUN) snakemake --cores all --configfile "$(STUDY)"
	@$(RUN) snakemake --cores 1 results/table2.csv --configfile "$(STUDY)" --quiet all
	@folder="$(RESULTS)"; cat "$$folder/verdict.txt"; echo; echo "Table 2: results/table2.csv, a copy of $$folder/table2.csv"; \
	for file in report.md table2.md in_domain.csv report.html figures explorer.html runs.html; do \
	if [ -e "$$folder/$$file" ]; then echo "         $$folder/$$file"; fi; done

report: env-there ## the study's report, one page that works from disk: results/<study>/report.html (STUDY=…)
	$(RUN) snakemake --cores all --configfile="$(STUDY)" "$(RESULTS)/report.html"
	@echo "report: $(RESULTS)/report.html"

export: env-there ## the winner as a Hugging Face folder: results/<study>/export (STUDY=… PUSH=owner/name)
	$(RUN) snakemake --cores all --configfile="$(STUDY)" "$(RESULTS)/export"
	@folder="$(RESULTS)/export"; echo "export: $$folder"; \
	if [ -n "$(PUSH)" ]; then $(RUN) python scripts/export.py --output "$$folder" --push "$(PUSH)"; fi

archive: env-there ## the study in one file to hand on: results/<study>.tar.gz (STUDY=… WITH="weights images")
	$(RUN) snakemake --cores all --configfile "$(STUDY)"
	@$(RUN) python scripts/archive.py --study "$(STUDY)" --output "$(RESULTS).tar.gz" --with $(WITH)

reproduce: env ## in an unpacked archive: is it whole and up to date? (AGAIN=1: run it anew, compare)
	@$(RUN) python scripts/reproduce.py $(if $(AGAIN),--again again)

status: env-there ## how far the study is, also while it runs (STUDY=…)
	@$(RUN) python scripts/status.py --study "$(STUDY)"

watch: env-there ## the same, live, until it is finished; Ctrl-C leaves it (STUDY=…)
	@$(RUN) python scripts/watch.py --study "$(STUDY)"

plan: env-there ## what the study will run, with hours and disk space (STUDY=…)
	@$(RUN) python scripts/plan.py --study "$(STUDY)"

provenance: env-there ## the chain behind one number of Table 2 (STUDY=… MIXTURE=all BENCHMARK=chart)
	@$(RUN) python scripts/provenance.py --study "$(STUDY)" --mixture "$(MIXTURE)" --benchmark "$(BENCHMARK)"

tables: env ## benchmarks/tables/: 624 short runs of GRPO in tiny worlds; stop and start it at will
	$(RUN) python benchmarks/rlvr_tables.py

rivals: env ## docs/research/rivals.md: searches and online mixtures at equal time, some 470 short runs
	$(RUN) python benchmarks/rivals.py --output results/rivals

# What only looks at a study builds nothing.
env-there:
	@PYTHON="$(PYTHON)" envs/build.sh --check

env: ## build .venv from the hashed locks in envs/, and what envs/own.txt names (PYTHON=…)
	@PYTHON="$(PYTHON)" envs/build.sh

env-dev: ## the same, and what tests, linters and benchmarks need
	@PYTHON="$(PYTHON)" envs/build.sh --dev

vllm: env ## vLLM in .venv-vllm, on top of .venv: for `vllm:` and `engine: vllm` in a study
	@envs/vllm.sh

lmms: env ## lmms-eval in .venv-lmms, on top of .venv: for its tasks as benchmarks, and our model in it
	@envs/lmms.sh

clean-env: ## remove .venv; of a link the link alone
	rm -rf .venv

test: env-dev browser lint types ## lint, types, all tests but those of test-slurm, -kill, -conda, -vllm, -lmms
	$(RUN) pytest -n $(WORKERS) --dist loadfile

lint: env-dev ## style of Python files, Snakefiles and rules
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) snakefmt --check Snakefile workflow/Snakefile rules
	$(RUN) snakemake --lint

types: env-dev ## mypy
	$(RUN) mypy

unit: env-dev ## the tests that take seconds
	$(RUN) pytest -n $(WORKERS) --dist loadfile -m "not slow"

format: env-dev ## rewrite Python files, Snakefiles and rules in the style that lint checks
	$(RUN) ruff check --fix
	$(RUN) ruff format
	$(RUN) snakefmt Snakefile workflow/Snakefile rules

test-slurm: env-dev ## faults of jobs on a real Slurm, which is installed if missing (as root)
	@tests/slurm/install.sh
	$(RUN) pytest tests/slurm

# Each kill and each run has a limit of its own there: 30 of them may take longer than one test may.
test-kill: env-dev ## a run and a download, killed at random moments (KILLS=30 KILLED=config/tiny.yaml)
	KILLS=$(KILLS) KILLED=$(KILLED) $(RUN) pytest -s -o timeout=0 -o faulthandler_timeout=0 tests/kill

# A conda environment takes 2 GB, removed at the end.
test-conda: env-dev ## a study with --sdm conda, from a channel on disk (needs torch for the CPU)
	$(RUN) pytest tests/conda

test-vllm: env-dev vllm ## GRPO and predictions with a real vLLM on the CPU (needs torch for the CPU)
	PATH="$(CURDIR)/.venv-vllm/bin:$$PATH" python -m pytest tests/evaluation/test_vllm.py

test-lmms: env-dev lmms ## lmms-eval itself: our model in it, its tasks as benchmarks, both offline
	PATH="$(CURDIR)/.venv-lmms/bin:$$PATH" python -m pytest tests/evaluation/test_lmms_eval.py

browser: ## install Chromium for the explorer's tests (as root; without it they are skipped)
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	else echo "browser: no chromium found: the explorer's tests that need it are skipped"; fi; fi

reference: env-dev ## docs/config.md, the schema for editors and the rule graph, from models and rules
	$(RUN) snakemake --rulegraph mermaid-js --configfile config/test.yaml 2>/dev/null | $(RUN) python \
		scripts/reference.py --output docs/config.md --schema config/study.schema.json --graph docs/architecture.md

lock: env-dev ## envs/*.in -> locks and conda files (UPGRADE=1: the newest versions that fit)
	$(RUN) python envs/lock.py $(if $(UPGRADE),--upgrade)
	@echo "lock: now make env, make test"

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
