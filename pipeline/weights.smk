# Networks: weights that the user dropped in win over training.


rule train:
    input:
        INPUT(PATHS.train, "dataset/source.json"),
        INPUT.images(PATHS.train),
    output:
        model=f"{PATHS.train}/trained.keras",
        history=f"{PATHS.train}/history.json",
    log:
        PATHS.log("train"),
        benchmark=PATHS.benchmark("train"),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.train)
    resources:
        **NEEDS.resources(PATHS.train),
    params:
        slice=SLICE("train", PATHS.train),
    shell:
        STAGE("train")


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
        benchmark=PATHS.benchmark("weights"),
    # Keras downloads those of ImageNet.
    localrule: any(each.weights.source == "imagenet" for each in SELECTION.runs)
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.weights),
    params:
        slice=SLICE("weights", PATHS.weights),
        given=lambda wildcards: states(
            given_files(SELECTION.at(PATHS.weights, wildcards), find_weights)
        ),
    shell:
        STAGE("weights")
