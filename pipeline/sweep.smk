# Robustness: phase 2 with one value disturbed, scattered by value, gathered into a table and a figure per sweep.


rule sweep_point:
    input:
        INPUT(
            PATHS.points,
            "dataset/source.json",
            "phase1/predictions.npz",
            "scaled",
            "maxima",
        ),
        INPUT.images(PATHS.points),
    output:
        labels=f"{PATHS.point()}.npz",
        result=f"{PATHS.point()}.json",
    log:
        PATHS.log("sweep_{sweep}_{value}"),
        benchmark=PATHS.benchmark("sweep_{sweep}_{value}"),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.points)
    resources:
        **NEEDS.resources(PATHS.points),
    params:
        slice=lambda wildcards: slice_text(
            sweep_point(SELECTION.at(PATHS.points, wildcards), float(wildcards.value)),
            "sweep_point",
        ),
    shell:
        STAGE("sweep_point")


rule sweep_gather:
    input:
        lambda wildcards: [
            f"{SELECTION.paths_at(PATHS.sweep, wildcards).point(value)}.json"
            for value in sweep_values(SELECTION.at(PATHS.sweep, wildcards))
        ],
    output:
        [
            DRAWN(
                f"{PATHS.sweep}/{{sweep}}.{suffix}",
                caption="report/sweep.rst",
                category="Robustness",
                subcategory=SELECTION.shown_name,
                labels={"sweep": "{sweep}", "format": FORMATS[suffix]},
            )
            for suffix in FORMATS
        ],
        table=f"{PATHS.sweep}/table.csv",
        result=f"{PATHS.sweep}/result.json",
    log:
        PATHS.log("sweep_{sweep}_gather"),
        benchmark=PATHS.benchmark("sweep_{sweep}_gather"),
    wildcard_constraints:
        experiment=SELECTION.own(PATHS.sweep),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.sweep),
    params:
        slice=SLICE("sweep_gather", PATHS.sweep),
    shell:
        STAGE("sweep_gather")


rule track_sweep:
    input:
        rules.sweep_gather.output,
        lambda wildcards: STORAGE.behind([SELECTION.at(PATHS.sweep, wildcards)]),
        INPUT(PATHS.sweep, "tracked"),
    output:
        PATHS.tracked_sweep,
    log:
        PATHS.log("sweep_{sweep}_track"),
        benchmark=PATHS.benchmark("sweep_{sweep}_track"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.sweep),
    params:
        slice=SLICE("track_sweep", PATHS.sweep),
    shell:
        STAGE("track_sweep")


rule tradeoffs:
    input:
        lambda wildcards: SELECTION.sweeps_of(wildcards.experiment),
        STORAGE.behind(SELECTION.sweeps),
    output:
        [
            DRAWN(
                f"{PATHS.tradeoffs}.{suffix}",
                caption="report/tradeoffs.rst",
                category="Robustness",
                subcategory="{experiment}",
                labels={"sweep": "trade-offs", "format": FORMATS[suffix]},
            )
            for suffix in FORMATS
        ],
        table=f"{PATHS.tradeoffs}.csv",
    log:
        f"{PATHS.tradeoffs}.log",
        benchmark=f"{PATHS.tradeoffs}.tsv",
    wildcard_constraints:
        experiment=SELECTION.swept(),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.tradeoffs),
    params:
        slice=SLICE("tradeoffs", PATHS.tradeoffs),
    shell:
        STAGE("tradeoffs")


rule sweep_results:
    input:
        SWEEP_RESULTS,
        STORAGE.behind(SELECTION.sweeps),
    output:
        PATHS.sweeps,
    log:
        f"{PATHS.suite_folder}/sweeps.log",
        benchmark=f"{PATHS.suite_folder}/sweeps.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    params:
        slice=SLICE("sweep_results"),
    shell:
        STAGE("sweep_results")
