# Phase 1: fold, scale and measure the ReLU network.


rule phase1:
    input:
        INPUT(PATHS.phase1, "dataset/source.json", "weights/original.keras"),
        INPUT.images(PATHS.phase1),
    output:
        model=f"{PATHS.phase1}/scaled.keras",
        predictions=f"{PATHS.phase1}/predictions.npz",
        channels=f"{PATHS.phase1}/channel_maxima.npz",
        result=f"{PATHS.phase1}/result.json",
    log:
        PATHS.log("phase1"),
        benchmark=PATHS.benchmark("phase1"),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.phase1)
    resources:
        **NEEDS.resources(PATHS.phase1),
    params:
        slice=SLICE("phase1", PATHS.phase1),
    shell:
        STAGE("phase1")


# Only windows that certify need it: one more pass over the calibration images.
rule bounds:
    input:
        INPUT(PATHS.phase1, "dataset/source.json"),
        INPUT.images(PATHS.phase1),
        model=f"{PATHS.phase1}/scaled.keras",
    output:
        f"{PATHS.phase1}/bounds.json",
    log:
        PATHS.log("bounds"),
        benchmark=PATHS.benchmark("bounds"),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.phase1)
    resources:
        **NEEDS.resources(PATHS.phase1),
    params:
        slice=SLICE("bounds", PATHS.phase1),
    shell:
        STAGE("bounds")


# Only the mapping with a reference needs it: the same network with other scales.
rule reference:
    input:
        model=f"{PATHS.phase1}/scaled.keras",
        channels=f"{PATHS.phase1}/channel_maxima.npz",
        result=f"{PATHS.phase1}/result.json",
    output:
        model=f"{PATHS.phase1}/reference.keras",
        maxima=f"{PATHS.phase1}/reference.json",
    log:
        PATHS.log("reference"),
        benchmark=PATHS.benchmark("reference"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.phase1),
    params:
        slice=SLICE("reference", PATHS.phase1),
    shell:
        STAGE("reference")
