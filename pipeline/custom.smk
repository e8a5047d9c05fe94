# The user's own images, checked against their own network.


rule custom_data:
    input:
        lambda wildcards: STORAGE.given(
            file
            for key in ("dataset.file", "weights.file")
            for file in named(SELECTION.at(PATHS.dataset, wildcards), key)
        ),
    output:
        [f"{PATHS.dataset}/{split}_images.npy" for split in ("train", "test")],
        source=f"{PATHS.dataset}/source.json",
    log:
        f"{PATHS.dataset}.log",
        benchmark=f"{PATHS.dataset}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets(OWN_FORMAT),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("custom_data", PATHS.dataset),
    shell:
        STAGE("custom_data")
