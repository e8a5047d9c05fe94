# Places365: Caffe's weights to a dictionary, photographs to preprocessed parts; what reads them runs in a container.


PLACES365 = STORAGE.given(
    f"{workflow.basedir}/pipeline/places365/{name}"
    for name in ("Dockerfile", "requirements.txt", "caffe.py")
)


rule places365_sample:
    input:
        lambda wildcards: STORAGE.given(
            f"{SELECTION.at(PATHS.dataset, wildcards).dataset.source.directory}/train"
        ),
    output:
        f"{PATHS.dataset}/train.tsv",
    log:
        f"{PATHS.dataset}_sample.log",
        benchmark=f"{PATHS.dataset}_sample.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("places365"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("places365_sample", PATHS.dataset),
    shell:
        STAGE("places365_sample")


rule places365_labels:
    input:
        lambda wildcards: STORAGE.given(
            f"{SELECTION.at(PATHS.dataset, wildcards).dataset.source.directory}/{name}"
            for name in ("val_256", "places365_val.txt")
        ),
    output:
        f"{PATHS.dataset}/test.tsv",
    log:
        f"{PATHS.dataset}_labels.log",
        benchmark=f"{PATHS.dataset}_labels.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("places365"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("places365_labels", PATHS.dataset),
    shell:
        STAGE("places365_labels")


# Which engine runs it is no part of the slice: the result is the same, so another engine makes nothing again.
rule places365_image:
    input:
        PLACES365,
    output:
        PATHS.container,
    log:
        f"{PATHS.dataset}_container.log",
        benchmark=f"{PATHS.dataset}_container.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("places365_image", PATHS.dataset),
    shell:
        STAGE("places365_image")


rule places365_weights:
    input:
        # Not the image's own job, which belongs to a data set: weights may be those of several.
        PLACES365,
        lambda wildcards: STORAGE.given(
            file
            for key in ("weights.caffemodel", "weights.prototxt")
            for file in named(SELECTION.at(PATHS.weights, wildcards), key)
        ),
    output:
        f"{PATHS.weights}/{{stem}}.npz",
    log:
        PATHS.log("{stem}"),
        benchmark=PATHS.benchmark("{stem}"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.weights),
    params:
        slice=SLICE("places365_weights", PATHS.weights),
    shell:
        STAGE("places365_weights")


# Parts of the validation images, and after the last of them the training sample.
rule places365_part:
    input:
        PATHS.container,
        lambda wildcards: "{}/{}.tsv".format(
            PATHS.dataset.format(dataset=wildcards.dataset),
            (
                "train"
                if int(wildcards.part)
                == SELECTION.at(PATHS.dataset, wildcards).dataset.parts
                else "test"
            ),
        ),
    output:
        multiext(f"{PATHS.dataset}/parts/{{part}}", ".npy", ".json"),
    log:
        f"{PATHS.dataset}_part{{part}}.log",
        benchmark=f"{PATHS.dataset}_part{{part}}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("places365"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("places365_part", PATHS.dataset),
    shell:
        STAGE("places365_part", part=True)


rule places365:
    input:
        lambda wildcards: [
            f"{PATHS.dataset.format(dataset=wildcards.dataset)}/parts/{part}{suffix}"
            for part in range(SELECTION.at(PATHS.dataset, wildcards).dataset.parts + 1)
            for suffix in (".npy", ".json")
        ],
        f"{PATHS.dataset}/test.tsv",
    output:
        f"{PATHS.dataset}/test_labels.npy",
        source=f"{PATHS.dataset}/source.json",
    log:
        f"{PATHS.dataset}.log",
        benchmark=f"{PATHS.dataset}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("places365"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("photographs", PATHS.dataset),
    shell:
        STAGE("photographs")
