# What a newcomer needs. The environment goes to .venv; PYTHON may name another interpreter (3.11 or later).
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

.PHONY: quickstart smoke plan test test-long compiled fuzz mutants lint docs pages bench ui report clean

quickstart: .venv/runtime ## three networks on real images, from data to table and MLflow
	$(RUN) --config suite=quickstart
	@echo "The table is outputs/quickstart/results.csv. To browse the runs and figures:  make ui    One file to send:  make report"

smoke: .venv/runtime ## every row of the paper and its robustness sweeps, narrow, on small synthetic files
	$(RUN) --config suite=smoke

test: .venv/dev ## three files at a time, since one that runs the workflow waits for processes to start
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-long: .venv/dev ## what takes too long for every change: the suite smoke, killed 30 times at random, here and under Slurm
	$(BIN)/python -m pytest -m long -s

compiled: .venv/dev ## what the simulation compiles, so that tests side by side do not each do it first
	PYTHONPATH=tests $(BIN)/python tests/compile_once.py

fuzz: .venv/dev ## COUNT damaged files over all readers, read as they were or refused in one line; 400 values of the configuration
	PYTHONPATH=tests $(BIN)/python -m fuzz --count "$$COUNT" --seed "$$SEED"
	PYTHONPATH=tests $(BIN)/python -m fuzz.values 400 "$$SEED"

mutants: .venv/dev ## wrong certificates and counters, one at a time: which test notices each; takes long
	PYTHONPATH=tests $(BIN)/python -m mutants

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile pipeline
	$(BIN)/snakemake --lint
	$(BIN)/typos
	$(BIN)/python scripts/check_links.py

docs: .venv/dev ## the documentation as a site that fetches nothing: docs/_build/html/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python scripts/check_site.py docs/_build/html
	@echo "The site is docs/_build/html/index.html"

pages: .venv/dev ## pages of docs/ that are made of tables of the code, after a change of these
	$(BIN)/python scripts/layer_page.py

bench: .venv/dev ## times and memory of the spiking simulation, to docs/benchmarks.md; on a quiet machine
	$(BIN)/python benchmarks/run.py

# In the place of the shell, which Ctrl-C would end with a word of make's.
ui: .venv/runtime ## http://127.0.0.1:5000, this machine only; PORT names another port
	@exec $(BIN)/python -m relu2snn.ui --port "$$PORT"

plan: .venv/runtime ## what SUITE will take, before it is run: jobs, hours on 2, 16 and 64 cores, memory, storage
	@$(BIN)/python -m relu2snn.plan "suite=$$SUITE"

report: .venv/runtime ## tables, figures, configs in one file to send: outputs/quickstart/report.html; SUITE=paper for another suite
	@test -f "outputs/$$SUITE/report/results.html" || { echo "outputs/$$SUITE: no finished run here; run the suite $$SUITE first" >&2; exit 1; }
	$(BIN)/snakemake --report "outputs/$$SUITE/report.html" --report-stylesheet pipeline/report/style.css --config "suite=$$SUITE"

clean:
	rm -rf outputs stored .snakemake data/smoke

.venv/%: requirements/%.txt requirements/uv.txt pyproject.toml
	scripts/install.sh $*
	touch $@
