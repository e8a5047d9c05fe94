# What a newcomer needs; plain `make` lists it. The environment goes to .venv.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000
SUITE ?= quickstart
COUNT ?= 20000
SEED ?= 0
# Snakemake and its jobs end when make is gone, however it was ended.
RUN := RELU2SNN_STARTED_BY=$$PPID $(BIN)/snakemake --profile pipeline/profiles/local
# What users give goes to the shell as it is, through the environment: no quote ends early, and make expands nothing.
override PYTHON := $(value PYTHON)
override PORT := $(value PORT)
override SUITE := $(value SUITE)
override COUNT := $(value COUNT)
override SEED := $(value SEED)
export PYTHON PORT SUITE COUNT SEED

.PHONY: help quickstart smoke plan check test test-long compiled fuzz mutants lint docs pages bench ui report clean

# Targets with a comment, under the headings of the lines that begin with "##@".
help:
	@awk 'BEGIN { FS = ":[^#]*## " } /^##@ / { printf "%s%s\n", n++ ? "\n" : "", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Try it; what stands in capitals can be given, as in: make plan SUITE=paper
quickstart: .venv/runtime ## three networks on real images, from data to table and MLflow; PYTHON=python3
	$(RUN) --config suite=quickstart
	@echo "The table is outputs/quickstart/results.csv. To browse the runs and figures:  make ui    One file to send:  make report"

# In the place of the shell, which Ctrl-C would end with a word of make's.
ui: .venv/runtime ## browse and compare the runs in MLflow, http://127.0.0.1:5000; PORT=5000
	@exec $(BIN)/python -m relu2snn.ui --port "$$PORT"

report: .venv/runtime ## tables, figures and configs in one file to send; SUITE=quickstart
	@test -f "outputs/$$SUITE/report/results.html" || { echo "outputs/$$SUITE: no finished run here; run its suite first, one of $$(ls conf/suite | sed 's/\.yaml$$//' | paste -sd ' ' -)" >&2; exit 1; }
	$(BIN)/snakemake --report "outputs/$$SUITE/report.html" --report-stylesheet pipeline/report/style.css --config "suite=$$SUITE"

##@ Every experiment; docs/config.md has all that can be set
plan: .venv/runtime ## what a suite will take, before it runs: hours, memory, storage; SUITE=quickstart
	@$(BIN)/python -m relu2snn.plan "suite=$$SUITE"

smoke: .venv/runtime ## every row of the paper and its sweeps, narrow, on small synthetic files
	$(RUN) --config suite=smoke

clean: ## remove all results: what is in outputs/, data/smoke/, .snakemake/, stored/
	if [ -L outputs ]; then rm outputs; elif [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +; fi
	rm -rf stored .snakemake data/smoke

##@ Change it; CONTRIBUTING.md says how
lint: .venv/dev ## ruff, mypy, snakefmt, snakemake --lint, typos, links of documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile pipeline
	$(BIN)/snakemake --lint
	$(BIN)/typos
	$(BIN)/python scripts/check_links.py

docs: .venv/dev ## the documentation as a site: docs/_build/html/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python scripts/check_site.py docs/_build/html
	@echo "The site is docs/_build/html/index.html"

pages: .venv/dev ## pages of docs/ that are made from the code
	$(BIN)/python scripts/layer_page.py
	$(BIN)/python -m relu2snn.config.page

# The files of tests/quick.txt take seconds each.
check: lint ## lint, and the tests that take seconds: for while you work
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not workflow and not long" @tests/quick.txt

# Three files at a time, since one that runs the workflow waits for processes to start.
test: .venv/dev ## every test but the long ones
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-long: .venv/dev ## the suite smoke, killed 30 times at random, here and under Slurm: an hour
	$(BIN)/python -m pytest -m long -s

compiled: .venv/dev ## what the simulation compiles, so that tests side by side do not each do it first
	PYTHONPATH=tests $(BIN)/python tests/compile_once.py

fuzz: .venv/dev ## damaged files over all readers, odd values over all keys; COUNT=20000 SEED=0
	PYTHONPATH=tests $(BIN)/python -m fuzz --count "$$COUNT" --seed "$$SEED"
	PYTHONPATH=tests $(BIN)/python -m fuzz.values 400 "$$SEED"

mutants: .venv/dev ## wrong certificates and counters, each of which a test must notice: takes long
	PYTHONPATH=tests $(BIN)/python -m mutants

bench: .venv/dev ## times and memory of the simulation, to docs/benchmarks.md; on a quiet machine
	$(BIN)/python benchmarks/run.py

.venv/%: requirements/%.txt requirements/uv.txt pyproject.toml
	scripts/install.sh $*
	touch $@
