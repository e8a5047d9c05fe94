# Networks: weights that the user dropped in win over training.


rule train:
    input:
        lambda wildcards: f"{PATHS.dataset(EXPERIMENTS[wildcards.experiment].dataset.name)}/source.json",
    output:
        model=f"{PATHS.train}/trained.keras",
        history=f"{PATHS.train}/history.json",
    log:
        PATHS.log("train"),
    benchmark:
        PATHS.benchmark("train")
    conda:
        "../environment.yml"
    threads: THREADS
    resources:
        mem_mb=6000,
        runtime=24 * 60,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "train"),
    shell:
        "python -m relu2snn.stages.train --slice {params.slice:q} 2>&1 | tee {log}"


def weights_file(wildcards):
    """What the user has given, or what the workflow makes; nothing where Keras downloads."""
    weights = EXPERIMENTS[wildcards.experiment].weights
    paths = SELECTION.paths(wildcards.experiment)
    made = {
        "train": f"{paths.train}/trained.keras",
        "caffe": f"{paths.weights}/{weights.stem}.npz",
        "imagenet": [],
    }
    return find_weights(weights) or made[weights.source]


rule weights:
    input:
        weights_file,
    output:
        model=f"{PATHS.weights}/original.keras",
        source=f"{PATHS.weights}/source.json",
    log:
        PATHS.log("weights"),
    benchmark:
        PATHS.benchmark("weights")
    conda:
        "../environment.yml"
    resources:
        mem_mb=5000,
        runtime=30,
    params:
        slice=lambda wildcards: slice_text(EXPERIMENTS[wildcards.experiment], "weights"),
    shell:
        "python -m relu2snn.stages.weights --slice {params.slice:q} 2>&1 | tee {log}"
