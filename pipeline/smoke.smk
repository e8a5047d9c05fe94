# Small synthetic files in the formats of data sets that have to be fetched by hand, for suite=smoke.


rule smoke_places365:
    input:
        script=local(f"{workflow.basedir}/scripts/make_smoke_data.py"),
        photographs=local(f"{workflow.basedir}/data/sample/photographs"),
    output:
        local(directory("data/smoke/places365/train")),
        local(directory("data/smoke/places365/val_256")),
        local("data/smoke/places365/places365_val.txt"),
        local("data/smoke/places365/vgg16_places365.caffemodel"),
        local("data/smoke/places365/deploy_vgg16_places365.prototxt"),
    log:
        "data/smoke/places365.log",
    benchmark:
        "data/smoke/places365.tsv"
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    shell:
        "python {input.script:q} places365 data/smoke/places365 2>&1 | tee {log:q}"


rule smoke_pass:
    input:
        script=local(f"{workflow.basedir}/scripts/make_smoke_data.py"),
        photographs=local(f"{workflow.basedir}/data/sample/photographs"),
    output:
        [local(directory(f"data/smoke/pass/{folder}")) for folder in range(20)],
        local("data/smoke/pass/vgg16_weights.h5"),
    log:
        "data/smoke/pass.log",
    benchmark:
        "data/smoke/pass.tsv"
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    shell:
        "python {input.script:q} pass data/smoke/pass 2>&1 | tee {log:q}"
