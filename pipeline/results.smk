# What people look at: figures, the MLflow store, the table over all runs.


rule figures:
    input:
        phase1=f"{PATHS.phase1}/result.json",
        phase2=lambda wildcards: "{}/result.json".format(
            SELECTION.paths(wildcards.experiment).phase2(
                SELECTION.variant(wildcards.experiment)
            )
        ),
    output:
        [
            report(
                f"{PATHS.figures}/{name}.{suffix}",
                caption=f"report/{name}.rst",
                category="Figures",
                subcategory="{experiment}",
                labels={
                    "figure": name.replace("_", " ").capitalize(),
                    "format": suffix.upper(),
                },
            )
            for name in ["layer_maxima"]
            for suffix in ("png", "svg")
        ],
    log:
        PATHS.log("figures"),
    benchmark:
        PATHS.benchmark("figures")
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "figures"),
        # For the captions; what they say changes the figures, too.
        dataset=lambda wildcards: EXPERIMENTS[wildcards.experiment].dataset.name,
        variant=lambda wildcards: SELECTION.variant(wildcards.experiment),
        zeta=lambda wildcards: EXPERIMENTS[wildcards.experiment].phase2.zeta,
    shell:
        "python -m relu2snn.stages.figures --slice {params.slice:q} 2>&1 | tee {log}"


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
        "python -m relu2snn.stages.track --slice {params.slice:q} 2>&1 | tee {log}"


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
        "python -m relu2snn.stages.results --slice {params.slice:q} 2>&1 | tee {log}"
