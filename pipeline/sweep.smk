# Robustness: phase 2 with one value disturbed, scattered by value, gathered into a table and a figure per sweep.


rule sweep_point:
    input:
        lambda wildcards: f"{PATHS.dataset(EXPERIMENTS[wildcards.experiment].dataset.name)}/source.json",
        lambda wildcards: (
            f"{SELECTION.paths(wildcards.experiment).phase1}/bounds.json"
            if EXPERIMENTS[wildcards.experiment].phase2.window == "certified"
            else []
        ),
        predictions=f"{PATHS.phase1}/predictions.npz",
        model=f"{PATHS.phase1}/scaled.keras",
        result=f"{PATHS.phase1}/result.json",
    output:
        labels=f"{PATHS.point()}.npz",
        result=f"{PATHS.point()}.json",
    log:
        PATHS.log("sweep_{sweep}_{value}"),
    benchmark:
        PATHS.benchmark("sweep_{sweep}_{value}")
    conda:
        "../environment.yml"
    threads: SWEEP_THREADS
    resources:
        mem_mb=6500,
        runtime=7 * 24 * 60,
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.points(wildcards.experiment, wildcards.sweep)[wildcards.value],
            "sweep_point",
        ),
    shell:
        "python -m relu2snn.stages.sweep_point --slice {params.slice:q} 2>&1 | tee {log:q}"


rule sweep_gather:
    input:
        lambda wildcards: [
            f"{SELECTION.paths(wildcards.experiment).point(wildcards.sweep, value)}.json"
            for value in SELECTION.points(wildcards.experiment, wildcards.sweep)
        ],
    output:
        [
            report(
                f"{PATHS.sweep()}/{{sweep}}.{suffix}",
                caption="report/sweep.rst",
                category="Robustness",
                subcategory="{experiment}",
                labels={"sweep": "{sweep}", "format": FORMATS[suffix]},
            )
            for suffix in FORMATS
        ],
        table=f"{PATHS.sweep()}/table.csv",
        result=f"{PATHS.sweep()}/result.json",
    log:
        PATHS.log("sweep_{sweep}_gather"),
    benchmark:
        PATHS.benchmark("sweep_{sweep}_gather")
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.sweeps[wildcards.experiment, wildcards.sweep], "sweep_gather"
        ),
    shell:
        "python -m relu2snn.stages.sweep_gather --slice {params.slice:q} 2>&1 | tee {log:q}"


rule track_sweep:
    input:
        rules.sweep_gather.output,
        parent=PATHS.tracked,
    output:
        f"{PATHS.sweep()}/mlflow.json",
    log:
        PATHS.log("sweep_{sweep}_track"),
    benchmark:
        PATHS.benchmark("sweep_{sweep}_track")
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.sweeps[wildcards.experiment, wildcards.sweep], "track_sweep"
        ),
    shell:
        "python -m relu2snn.stages.track_sweep --slice {params.slice:q} 2>&1 | tee {log:q}"


rule sweep_results:
    input:
        [
            f"{SELECTION.paths(name).sweep(sweep)}/result.json"
            for name, sweep in SELECTION.sweeps
        ],
    output:
        PATHS.sweeps,
    log:
        f"{PATHS.suite_folder}/sweeps.log",
    benchmark:
        f"{PATHS.suite_folder}/sweeps.tsv"
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=slice_text(next(iter(EXPERIMENTS.values())), "sweep_results"),
    shell:
        "python -m relu2snn.stages.sweep_results --slice {params.slice:q} 2>&1 | tee {log:q}"
