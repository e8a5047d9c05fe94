# What people look at: figures, the MLflow store, the table over all runs.


# Of two formats the report shows first the one whose label comes first in the alphabet, and cuts pictures that are
# higher than the window.
FORMATS = {"png": "picture (PNG)", "svg": "drawing (SVG)"}
DRAWN = drawn_in(report, len(SELECTION.runs))


rule figures:
    input:
        INPUT(PATHS.figures, "dataset/source.json", "scaled", "phase2/spiking.keras"),
        INPUT(PATHS.figures, "phase1/result.json", "phase1/predictions.npz"),
        INPUT(PATHS.figures, "phase2/result.json", "phase2/predictions.npz"),
        INPUT.images(PATHS.figures),
    output:
        [
            DRAWN(
                f"{PATHS.figures}/{name}.{suffix}",
                caption=f"report/{name}.rst",
                category="Figures",
                subcategory=SELECTION.shown_name,
                labels={
                    "figure": name.replace("_", " ").capitalize(),
                    "format": FORMATS[suffix],
                },
            )
            for name in FIGURES
            for suffix in FORMATS
        ],
        data=f"{PATHS.figures}/data.npz",
    log:
        PATHS.log("figures"),
        benchmark=PATHS.benchmark("figures"),
    wildcard_constraints:
        experiment=SELECTION.own(PATHS.figures),
    conda:
        "../environment.yml"
    threads: NEEDS.threads(PATHS.figures)
    resources:
        **NEEDS.resources(PATHS.figures),
    params:
        slice=SLICE("figures", PATHS.figures),
        # For the captions; what they say changes the figures, too.
        dataset=INPUT.value(PATHS.figures, "dataset.name"),
        window=INPUT.value(PATHS.figures, "phase2.window"),
        mapping=INPUT.value(PATHS.figures, "phase2.mapping"),
        overrides=lambda wildcards: overrides_text(
            SELECTION.at(PATHS.figures, wildcards)
        ),
        zeta=INPUT.value(PATHS.figures, "phase2.zeta"),
    shell:
        STAGE("figures")


rule track:
    input:
        lambda wildcards: tracked_files(SELECTION.paths_at(PATHS.phase2, wildcards)),
        INPUT.images(PATHS.phase2),
        lambda wildcards: STORAGE.read(
            training_files(SELECTION.at(PATHS.phase2, wildcards), find_weights)
        ),
    output:
        PATHS.tracked,
    log:
        PATHS.log("track"),
        benchmark=PATHS.benchmark("track"),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.phase2),
    params:
        slice=SLICE("track", PATHS.phase2),
    shell:
        STAGE("track")


rule results:
    input:
        RESULTS,
        STORAGE.behind(SELECTION.runs),
    output:
        PATHS.results,
    log:
        f"{PATHS.suite_folder}/results.log",
        benchmark=f"{PATHS.suite_folder}/results.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    params:
        slice=SLICE("results"),
    shell:
        STAGE("results")
