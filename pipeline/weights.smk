# Networks: weights that the user dropped in win over training.


rule train:
    input:
        lambda wildcards: f"{SELECTION.paths_at(PATHS.train, wildcards).dataset}/source.json",
        lambda wildcards: STORAGE.images(SELECTION.at(PATHS.train, wildcards)),
    output:
        model=f"{PATHS.train}/trained.keras",
        history=f"{PATHS.train}/history.json",
    log:
        PATHS.log("train"),
    benchmark:
        PATHS.benchmark("train")
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.train)
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.train),
        runtime=NEEDS.runtime(PATHS.train),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.train, wildcards), "train"
        ),
    shell:
        "python -m relu2snn.stages.train --slice {params.slice:q} 2>&1 | tee {log:q}"


rule weights:
    input:
        lambda wildcards: weights_input(
            SELECTION.at(PATHS.weights, wildcards), find_weights, STORAGE.given
        ),
    output:
        model=f"{PATHS.weights}/original.keras",
        source=f"{PATHS.weights}/source.json",
    log:
        PATHS.log("weights"),
    benchmark:
        PATHS.benchmark("weights")
    # Keras downloads those of ImageNet.
    localrule: any(each.weights.source == "imagenet" for each in SELECTION.runs)
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.weights),
        runtime=NEEDS.runtime(PATHS.weights),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.weights, wildcards), "weights"
        ),
        given=lambda wildcards: states(
            given_files(SELECTION.at(PATHS.weights, wildcards), find_weights)
        ),
    shell:
        "python -m relu2snn.stages.weights --slice {params.slice:q} 2>&1 | tee {log:q}"
