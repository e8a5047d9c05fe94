# Images: found or downloaded, checked, written as arrays that every later stage maps into memory.


rule data:
    input:
        lambda wildcards: source_files(SELECTION.dataset(wildcards.dataset).dataset.source),
    output:
        multiext(
            PATHS.dataset("{dataset}"),
            "/train_images.npy",
            "/train_labels.npy",
            "/test_images.npy",
            "/test_labels.npy",
            "/source.json",
        ),
    params:
        slice=lambda wildcards: slice_text(SELECTION.dataset(wildcards.dataset), "data"),
    log:
        f"{PATHS.dataset('{dataset}')}.log",
    benchmark:
        f"{PATHS.dataset('{dataset}')}.tsv"
    resources:
        mem_mb=2000,
        runtime=60,
    conda:
        "../environment.yml"
    shell:
        "python -m relu2snn.stages.data --slice {params.slice:q} 2>&1 | tee {log}"
