# What people look at: figures, the MLflow store, the table over all runs.


# Of two formats the report shows first the one whose label comes first in the alphabet, and cuts pictures that are
# higher than the window.
FORMATS = {"png": "picture (PNG)", "svg": "drawing (SVG)"}


rule figures:
    input:
        lambda wildcards: f"{PATHS.dataset(EXPERIMENTS[wildcards.experiment].dataset.name)}/source.json",
        phase1=[
            f"{PATHS.phase1}/{name}"
            for name in ("result.json", "predictions.npz", "scaled.keras")
        ],
        phase2=lambda wildcards: [
            "{}/{}".format(
                SELECTION.paths(wildcards.experiment).phase2(
                    SELECTION.variant(wildcards.experiment)
                ),
                name,
            )
            for name in ("result.json", "predictions.npz", "spiking.keras")
        ],
    output:
        [
            report(
                f"{PATHS.figures}/{name}.{suffix}",
                caption=f"report/{name}.rst",
                category="Figures",
                subcategory="{experiment}",
                labels={
                    "figure": name.replace("_", " ").capitalize(),
                    "format": FORMATS[suffix],
                },
            )
            for name in FIGURES
            for suffix in FORMATS
        ],
        data=f"{PATHS.figures}/data.npz",
    log:
        PATHS.log("figures"),
    benchmark:
        PATHS.benchmark("figures")
    conda:
        "../environment.yml"
    threads: THREADS
    resources:
        mem_mb=9000,
        runtime=2 * 60,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "figures"),
        # For the captions; what they say changes the figures, too.
        dataset=lambda wildcards: EXPERIMENTS[wildcards.experiment].dataset.name,
        variant=lambda wildcards: SELECTION.variant(wildcards.experiment),
        zeta=lambda wildcards: EXPERIMENTS[wildcards.experiment].phase2.zeta,
    shell:
        "python -m relu2snn.stages.figures --slice {params.slice:q} 2>&1 | tee {log:q}"


rule track:
    input:
        rules.figures.input,
        rules.figures.output,
        source=f"{PATHS.weights}/source.json",
    output:
        PATHS.tracked,
    log:
        PATHS.log("track"),
    benchmark:
        PATHS.benchmark("track")
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "track"),
    shell:
        "python -m relu2snn.stages.track --slice {params.slice:q} 2>&1 | tee {log:q}"


rule results:
    input:
        [
            f"{SELECTION.paths(name).phase2(SELECTION.variant(name))}/result.json"
            for name in EXPERIMENTS
        ],
    output:
        PATHS.results,
    log:
        f"{PATHS.suite_folder}/results.log",
    benchmark:
        f"{PATHS.suite_folder}/results.tsv"
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=slice_text(next(iter(EXPERIMENTS.values())), "results"),
    shell:
        "python -m relu2snn.stages.results --slice {params.slice:q} 2>&1 | tee {log:q}"
