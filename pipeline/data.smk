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
    benchmark:
        f"{PATHS.dataset}.tsv"
    wildcard_constraints:
        dataset=SELECTION.datasets(*ARRAY_FORMATS),
    conda:
        "../environment.yml"
    resources:
        mem_mb=NEEDS.mem_mb(PATHS.dataset),
        runtime=NEEDS.runtime(PATHS.dataset),
    params:
        slice=lambda wildcards: slice_text(
            SELECTION.at(PATHS.dataset, wildcards), "data"
        ),
        given=lambda wildcards: states(
            source_files(SELECTION.at(PATHS.dataset, wildcards).dataset.source)
        ),
    shell:
        "python -m relu2snn.stages.data --slice {params.slice:q} 2>&1 | tee {log:q}"
