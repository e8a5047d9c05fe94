# Phase 2: the spiking network, run by parts of the test images, then gathered.


rule convert:
    input:
        INPUT(PATHS.phase2, "scaled", "maxima"),
    output:
        f"{PATHS.phase2}/spiking.keras",
    log:
        PATHS.log("phase2_convert"),
        benchmark=PATHS.benchmark("phase2_convert"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.phase2),
    params:
        slice=SLICE("convert", PATHS.phase2),
    shell:
        STAGE("convert")


rule phase2:
    input:
        INPUT(PATHS.phase2, "dataset/source.json", "phase1/predictions.npz"),
        INPUT.images(PATHS.phase2, parts=True),
        model=f"{PATHS.phase2}/spiking.keras",
    output:
        labels=f"{PATHS.part()}.npz",
        result=f"{PATHS.part()}.json",
    log:
        PATHS.log("phase2_part{part}"),
        benchmark=PATHS.benchmark("phase2_part{part}"),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.phase2)
    resources:
        **NEEDS.resources(PATHS.phase2),
    params:
        slice=SLICE("phase2", PATHS.phase2),
    shell:
        STAGE("phase2", part=True)


rule gather:
    input:
        INPUT(PATHS.phase2, "measured"),
        lambda wildcards: [
            SELECTION.paths_at(PATHS.phase2, wildcards).part(part) + suffix
            for part in range(SELECTION.at(PATHS.phase2, wildcards).dataset.parts)
            for suffix in (".npz", ".json")
        ],
    output:
        result=f"{PATHS.phase2}/result.json",
        predictions=f"{PATHS.phase2}/predictions.npz",
    log:
        PATHS.log("phase2_gather"),
        benchmark=PATHS.benchmark("phase2_gather"),
    wildcard_constraints:
        experiment=SELECTION.own(PATHS.phase2),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.phase2),
    params:
        slice=SLICE("gather", PATHS.phase2),
    shell:
        STAGE("gather")
