# Every experiment of arXiv:2212.12522, from the images to a table and the MLflow UI.
#   snakemake --cores 2 --config experiments=fmnist_fc,fmnist_lenet overrides="phase2.zeta=0.3 train.epochs=5"
import sys
from os.path import exists

from relu2snn.config import (
    FIGURES,
    Paths,
    sweep_point,
    sweep_values,
)
from relu2snn.config.missing import needs_container
from relu2snn.config.rules import (
    Inputs,
    Needs,
    Slices,
    overrides_text,
    slice_text,
    stage_command,
    tracked_files,
)
from relu2snn.config.schema import OWN_FORMAT
from relu2snn.config.selection import (
    given_files,
    named,
    states,
    training_files,
    weights_input,
)
from relu2snn.config.storage import Storage
from relu2snn.config.workflow import (
    begin_workflow,
    heed_clock,
    heed_disks,
    interruptible,
    leave_out_unfinished,
    link_or_exit,
    only_reports,
    prepare_environment,
    print_missing,
    quote_for_shells,
    select_or_exit,
    take_over,
)
from relu2snn.containers import require_engine
from relu2snn.datasets import ARRAY_FORMATS, SUPPORTED_FORMATS, source_files
from relu2snn.files import require_writable
from relu2snn.networks.weights import find_weights
from relu2snn.presentation.report import drawn_in, if_compared
from relu2snn.slurm import Failures
from relu2snn.stages._warm import offer as offer_warm

# Whether files are kept in a storage, such as S3, of which this machine has copies alone.
STORAGE = Storage(workflow, local)
# What a run needs of this machine is looked at before any job starts, and once: folders with half of their files, two
# files of weights for one network, a folder that can't be written, a container engine that does not answer.
MACHINE = [
    lambda each: source_files(each.dataset.source),
    lambda each: find_weights(each.weights),
    lambda each: require_writable(Paths.of(each).suite_folder),
    lambda each: require_writable(Paths.of(each).dataset),
    lambda each: require_writable(Paths.of(each).folder),
    STORAGE.require_within,
    lambda each: needs_container(each) and require_engine(each.container.engine),
]
REPORTS = only_reports(sys.argv)
SELECTION = select_or_exit(
    config,
    SUPPORTED_FORMATS,
    checks=([] if REPORTS else MACHINE) if workflow.is_main_process else None,
    typed=workflow.config_settings.config_args,
    beside=str(workflow.basedir),
)
if REPORTS:
    SELECTION = leave_out_unfinished(SELECTION)
# Patterns of the files of all runs; SELECTION.at gives the config of a folder.
PATHS = Paths(SELECTION.outputs, SELECTION.suite.name)
RUNS = [Paths.of(each) for each in SELECTION.runs]
SWEEPS = [Paths.of(each) for each in SELECTION.sweeps]
# Tables and pages show all that is finished, also by other calls.
RESULTS = SELECTION.finished(
    f"{PATHS.phase2}/result.json", [f"{each.phase2}/result.json" for each in RUNS]
)
SWEEP_RESULTS = SELECTION.finished(
    f"{PATHS.sweep}/result.json", [f"{each.sweep}/result.json" for each in SWEEPS]
)
# Threads, memory and run time of each job follow from its network and images, not from what else runs.
NEEDS = Needs(SELECTION)
# The slice of the config that a stage may read, whose change runs its job again; the command of a rule; and what it
# reads of its run.
SLICE = Slices(SELECTION)
STAGE = stage_command
INPUT = Inputs(SELECTION, STORAGE)

ALONE = begin_workflow(
    main=workflow.is_main_process,
    below=workflow.subprocess_exec,
    remote=workflow.remote_exec,
)
prepare_environment(SELECTION)
quote_for_shells()
link_or_exit(STORAGE, SELECTION.outputs)
if workflow.is_main_process and not REPORTS:
    heed_disks(PATHS.suite_folder)
    heed_clock(
        [PATHS.suite_folder, "data/smoke"],
        given=[
            file
            for each in SELECTION.runs
            for file in (
                *source_files(each.dataset.source),
                *given_files(each, find_weights),
                *named(each, "dataset.file"),
            )
        ],
    )
if workflow.is_main_process:
    print_missing(SELECTION.missing)


report: "pipeline/report/workflow.rst"


wildcard_constraints:
    experiment="[^/]+",
    # The name of a data set and its variant.
    dataset="[^/]+/[^/]+",
    variant="[^/]+",
    part="[0-9]+",
    sweep="[a-z_]+",
    value="[-+.e0-9]+",


# These need the network, a container engine or MLflow's store, which other machines may not have, or take seconds.
localrules:
    all,
    data,
    smoke_places365,
    smoke_pass,
    places365_image,
    places365_weights,
    places365_part,
    gather,
    track,
    results,
    sweep_gather,
    track_sweep,
    sweep_results,
    tradeoffs,
    provenance,
    report_results,
    report_sweeps,
    report_runtimes,


rule all:
    default_target: True
    input:
        lambda wildcards: take_over(workflow, ALONE),
        PATHS.results,
        PATHS.page("runtimes"),
        [each.tracked for each in RUNS],
        # After a failed call the pages of the report stand without it.
        [f"{each.provenance}/config.yaml" for each in RUNS],
        [PATHS.sweeps] if SWEEPS else [],
        [each.tracked_sweep for each in SWEEPS],
        [f"{each.tradeoffs}.csv" for each in SWEEPS],


include: "pipeline/data.smk"
include: "pipeline/custom.smk"
include: "pipeline/places365.smk"
include: "pipeline/pass.smk"
include: "pipeline/smoke.smk"
include: "pipeline/weights.smk"
include: "pipeline/phase1.smk"
include: "pipeline/phase2.smk"
include: "pipeline/results.smk"
include: "pipeline/sweep.smk"
include: "pipeline/report.smk"


FAILURES = Failures()


onstart:
    if workflow.is_main_process:
        with interruptible():
            FAILURES.watch(workflow.scheduler._executor)
            # On other machines it is of no use.
            if workflow.local_exec:
                offer_warm(job.rule.name for job in workflow.dag.needrun_jobs())


onsuccess:
    if workflow.is_main_process and exists(PATHS.results):
        with interruptible():
            # It draws figures, too: jobs, which read this file again, do without what it imports.
            from relu2snn.stages._last_words import show_results

            show_results(SELECTION)


# With a failed job, rules over all rows can't run.
onerror:
    if workflow.is_main_process:
        with interruptible():
            from relu2snn.stages._last_words import show_what_is_finished

            show_what_is_finished(
                SELECTION, workflow.dag, workflow.scheduler.failed, FAILURES
            )
