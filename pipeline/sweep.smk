# Robustness: phase 2 with one value disturbed, scattered by value, gathered into a table and a figure per sweep.


rule sweep_point:
    input:
        lambda wildcards: f"{SELECTION.paths_at(PATHS.points, wildcards).dataset}/source.json",
        lambda wildcards: STORAGE.images(SELECTION.at(PATHS.points, wildcards)),
        predictions=lambda wildcards: f"{SELECTION.paths_at(PATHS.points, wildcards).phase1}/predictions.npz",
        model=lambda wildcards: SELECTION.paths_at(PATHS.points, wildcards).scaled,
        maxima=lambda wildcards: SELECTION.paths_at(PATHS.points, wildcards).maxima,
    output:
        labels=f"{PATHS.point()}.npz",
        result=f"{PATHS.point()}.json",
    log:
        PATHS.log("sweep_{sweep}_{value}"),
    benchmark:
        PATHS.benchmark("sweep_{sweep}_{value}")
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.points)
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.points),
        runtime=NEEDS.runtime(PATHS.points),
    params:
        slice=lambda wildcards: slice_text(
            sweep_point(SELECTION.at(PATHS.points, wildcards), float(wildcards.value)),
            "sweep_point",
        ),
    shell:
        "python -m relu2snn.stages.sweep_point --slice {params.slice:q} 2>&1 | tee {log:q}"


rule sweep_gather:
    input:
        lambda wildcards: [
            f"{SELECTION.paths_at(PATHS.sweep, wildcards).point(value)}.json"
            for value in sweep_values(SELECTION.at(PATHS.sweep, wildcards))
        ],
    output:
        [
            report(
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
    benchmark:
        PATHS.benchmark("sweep_{sweep}_gather")
    wildcard_constraints:
        experiment=SELECTION.own(PATHS.sweep),
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.sweep),
        runtime=NEEDS.runtime(PATHS.sweep),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.sweep, wildcards), "sweep_gather"
        ),
    shell:
        "python -m relu2snn.stages.sweep_gather --slice {params.slice:q} 2>&1 | tee {log:q}"


rule track_sweep:
    input:
        rules.sweep_gather.output,
        lambda wildcards: STORAGE.behind([SELECTION.at(PATHS.sweep, wildcards)]),
        parent=lambda wildcards: SELECTION.paths_at(PATHS.sweep, wildcards).tracked,
    output:
        PATHS.tracked_sweep,
    log:
        PATHS.log("sweep_{sweep}_track"),
    benchmark:
        PATHS.benchmark("sweep_{sweep}_track")
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.sweep),
        runtime=NEEDS.runtime(PATHS.sweep),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.sweep, wildcards), "track_sweep"
        ),
    shell:
        "python -m relu2snn.stages.track_sweep --slice {params.slice:q} 2>&1 | tee {log:q}"


rule tradeoffs:
    input:
        lambda wildcards: SELECTION.sweeps_of(wildcards.experiment),
        STORAGE.behind(SELECTION.sweeps),
    output:
        [
            report(
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
    benchmark:
        f"{PATHS.tradeoffs}.tsv"
    wildcard_constraints:
        experiment=SELECTION.swept(),
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.tradeoffs),
        runtime=NEEDS.runtime(PATHS.tradeoffs),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.tradeoffs, wildcards), "tradeoffs"
        ),
    shell:
        "python -m relu2snn.stages.tradeoffs --slice {params.slice:q} 2>&1 | tee {log:q}"


rule sweep_results:
    input:
        SWEEP_RESULTS,
        STORAGE.behind(SELECTION.sweeps),
    output:
        PATHS.sweeps,
    log:
        f"{PATHS.suite_folder}/sweeps.log",
    benchmark:
        f"{PATHS.suite_folder}/sweeps.tsv"
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(),
        runtime=NEEDS.runtime(),
    params:
        slice=slice_text(SELECTION.runs[0], "sweep_results"),
    shell:
        "python -m relu2snn.stages.sweep_results --slice {params.slice:q} 2>&1 | tee {log:q}"
