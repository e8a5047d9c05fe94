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
    benchmark:
        f"{PATHS.dataset}.tsv"
    wildcard_constraints:
        dataset=SELECTION.datasets(OWN_FORMAT),
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.dataset),
        runtime=NEEDS.runtime(PATHS.dataset),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.dataset, wildcards), "custom_data"
        ),
    shell:
        "python -m relu2snn.stages.custom_data --slice {params.slice:q} 2>&1 | tee {log:q}"
