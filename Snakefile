# Every experiment of arXiv:2212.12522, from the images to a table and the MLflow UI.
#   snakemake --cores 2 --config experiments=fmnist_fc,fmnist_lenet overrides="phase2.zeta=0.3 train.epochs=5"
from relu2snn.config import FIGURES
from relu2snn.config.workflow import (
    prepare_environment,
    print_missing,
    select_or_exit,
    slice_text,
)
from relu2snn.datasets import ARRAY_FORMATS, SUPPORTED_FORMATS, source_files
from relu2snn.networks.weights import find_weights

# Folders with half of their files, or two files of weights for one network, end here instead of in a job.
SELECTION = select_or_exit(
    config,
    SUPPORTED_FORMATS,
    checks=[
        lambda each: source_files(each.dataset.source),
        lambda each: find_weights(each.weights),
    ],
    typed=workflow.config_settings.config_args,
)
EXPERIMENTS = SELECTION.experiments
PATHS = SELECTION.paths()
# Experiments run side by side, so each takes its share of the cores; calls that only show something name none.
CORES = workflow.resource_settings.cores or 1
THREADS = max(1, CORES // len(EXPERIMENTS))
# So do the points of the sweeps.
POINTS = sum(len(SELECTION.points(*sweep)) for sweep in SELECTION.sweeps)
SWEEP_THREADS = max(1, CORES // max(1, POINTS))

prepare_environment(next(iter(EXPERIMENTS.values())))
if workflow.is_main_process:
    print_missing(SELECTION.missing)


report: "pipeline/report/workflow.rst"


wildcard_constraints:
    experiment="[^/]+",
    dataset="[^/]+",
    variant="[^/]+",
    part="[0-9]+",
    sweep="[a-z_]+",
    value="[-+.e0-9]+",


localrules:
    all,
    gather,
    track,
    results,
    sweep_gather,
    track_sweep,
    sweep_results,
    provenance,
    report_results,
    report_sweeps,
    report_runtimes,


rule all:
    default_target: True
    input:
        PATHS.results,
        PATHS.page("runtimes"),
        [SELECTION.paths(name).tracked for name in EXPERIMENTS],
        [PATHS.sweeps] if SELECTION.sweeps else [],
        [
            f"{SELECTION.paths(name).sweep(sweep)}/mlflow.json"
            for name, sweep in SELECTION.sweeps
        ],


include: "pipeline/data.smk"
include: "pipeline/places365.smk"
include: "pipeline/pass.smk"
include: "pipeline/smoke.smk"
include: "pipeline/weights.smk"
include: "pipeline/phase1.smk"
include: "pipeline/phase2.smk"
include: "pipeline/results.smk"
include: "pipeline/sweep.smk"
include: "pipeline/report.smk"
