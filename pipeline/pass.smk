# PASS: one shuffled order of all images, then by part which of them are read; they are decoded when they are used.


rule pass_order:
    input:
        lambda wildcards: STORAGE.given(
            f"{SELECTION.at(PATHS.dataset, wildcards).dataset.source.directory}/{folder}"
            for folder in range(20)
        ),
    output:
        f"{PATHS.dataset}/order.tsv",
    log:
        f"{PATHS.dataset}_order.log",
        benchmark=f"{PATHS.dataset}_order.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("pass"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("pass_order", PATHS.dataset),
    shell:
        STAGE("pass_order")


# Parts of the test images, and after the last of them the calibration images.
rule pass_part:
    input:
        f"{PATHS.dataset}/order.tsv",
    output:
        multiext(f"{PATHS.dataset}/parts/{{part}}", ".tsv", ".json"),
    log:
        f"{PATHS.dataset}_part{{part}}.log",
        benchmark=f"{PATHS.dataset}_part{{part}}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("pass"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("pass_part", PATHS.dataset),
    shell:
        STAGE("pass_part", part=True)


rule pass_images:
    input:
        lambda wildcards: [
            f"{PATHS.dataset.format(dataset=wildcards.dataset)}/parts/{part}{suffix}"
            for part in range(SELECTION.at(PATHS.dataset, wildcards).dataset.parts + 1)
            for suffix in (".tsv", ".json")
        ],
    output:
        source=f"{PATHS.dataset}/source.json",
    log:
        f"{PATHS.dataset}.log",
        benchmark=f"{PATHS.dataset}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets("pass"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("photographs", PATHS.dataset),
    shell:
        STAGE("photographs")
