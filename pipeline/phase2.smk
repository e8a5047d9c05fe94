# Phase 2: the spiking network, run by parts of the test images, then gathered.


rule convert:
    input:
        lambda wildcards: (
            f"{SELECTION.paths(wildcards.experiment).phase1}/bounds.json"
            if EXPERIMENTS[wildcards.experiment].phase2.window == "certified"
            else []
        ),
        model=f"{PATHS.phase1}/scaled.keras",
        result=f"{PATHS.phase1}/result.json",
    output:
        f"{PATHS.phase2()}/spiking.keras",
    log:
        PATHS.log("phase2_{variant}_convert"),
    benchmark:
        PATHS.benchmark("phase2_{variant}_convert")
    conda:
        "../environment.yml"
    resources:
        mem_mb=6500,
        runtime=30,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "convert"),
    shell:
        "python -m relu2snn.stages.convert --slice {params.slice:q} 2>&1 | tee {log:q}"


rule phase2:
    input:
        lambda wildcards: f"{PATHS.dataset(EXPERIMENTS[wildcards.experiment].dataset.name)}/source.json",
        predictions=f"{PATHS.phase1}/predictions.npz",
        model=f"{PATHS.phase2()}/spiking.keras",
    output:
        labels=f"{PATHS.part()}.npz",
        result=f"{PATHS.part()}.json",
    log:
        PATHS.log("phase2_{variant}_part{part}"),
    benchmark:
        PATHS.benchmark("phase2_{variant}_part{part}")
    conda:
        "../environment.yml"
    threads: THREADS
    resources:
        mem_mb=6500,
        runtime=24 * 60,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "phase2"),
    shell:
        "python -m relu2snn.stages.phase2 --part {wildcards.part:q} --slice {params.slice:q} 2>&1 | tee {log:q}"


rule gather:
    input:
        lambda wildcards: [
            SELECTION.paths(wildcards.experiment).part(wildcards.variant, part)
            + suffix
            for part in range(EXPERIMENTS[wildcards.experiment].dataset.parts)
            for suffix in (".npz", ".json")
        ],
    output:
        result=f"{PATHS.phase2()}/result.json",
        predictions=f"{PATHS.phase2()}/predictions.npz",
    log:
        PATHS.log("phase2_{variant}_gather"),
    benchmark:
        PATHS.benchmark("phase2_{variant}_gather")
    conda:
        "../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "gather"),
    shell:
        "python -m relu2snn.stages.gather --slice {params.slice:q} 2>&1 | tee {log:q}"
