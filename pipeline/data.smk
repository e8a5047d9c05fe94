# Images: found or downloaded, checked, written as arrays that every later stage maps into memory.


rule data:
    input:
        lambda wildcards: STORAGE.given(
            source_files(SELECTION.at(PATHS.dataset, wildcards).dataset.source)
        ),
    output:
        [
            f"{PATHS.dataset}/{split}_{kind}.npy"
            for split in ("train", "test")
            for kind in ("images", "labels")
        ],
        source=f"{PATHS.dataset}/source.json",
    log:
        f"{PATHS.dataset}.log",
        benchmark=f"{PATHS.dataset}.tsv",
    wildcard_constraints:
        dataset=SELECTION.datasets(*ARRAY_FORMATS),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.dataset),
    params:
        slice=SLICE("data", PATHS.dataset),
        given=lambda wildcards: states(
            source_files(SELECTION.at(PATHS.dataset, wildcards).dataset.source)
        ),
    shell:
        STAGE("data")
