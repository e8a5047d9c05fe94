# What `snakemake --report` shows beside the figures: tables, configs, software, run times.


rule provenance:
    input:
        f"{PATHS.phase2}/result.json",
    output:
        f"{PATHS.provenance}/config.yaml",
        f"{PATHS.provenance}/software.json",
        report(
            f"{PATHS.provenance}/config.html",
            caption="report/config.rst",
            category="Configuration",
            labels=lambda wildcards: {"experiment": SELECTION.shown_name(wildcards)},
        ),
    log:
        PATHS.log("provenance"),
        benchmark=PATHS.benchmark("provenance"),
    wildcard_constraints:
        experiment=SELECTION.own(PATHS.provenance),
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(PATHS.phase2),
    params:
        slice=SLICE("provenance", PATHS.phase2),
    shell:
        STAGE("provenance")


rule report_results:
    input:
        PATHS.results,
        SELECTION.finished(
            f"{PATHS.provenance}/config.yaml",
            [f"{each.provenance}/config.yaml" for each in RUNS],
        ),
        RESULTS if STORAGE.used else [],
        STORAGE.behind(SELECTION.runs),
    output:
        f"{PATHS.suite_folder}/report/summary.csv",
        report(
            PATHS.page("results"),
            caption="report/results.rst",
            category=if_compared(
                PATHS.page("results"), "Comparison with the paper", "Results"
            ),
            labels=if_compared(
                PATHS.page("results"),
                {"table": "Results beside published ones"},
                {"table": "All results"},
            ),
        ),
        report(
            PATHS.page("costs"),
            caption="report/costs.rst",
            category="Costs",
            labels={"table": "Operations and energy"},
        ),
        report(
            PATHS.page("software"),
            caption="report/software.rst",
            category="Software and run times",
            labels={"table": "Software and machine"},
        ),
    log:
        f"{PATHS.suite_folder}/report_results.log",
        benchmark=f"{PATHS.suite_folder}/report_results.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    params:
        slice=SLICE("report_results"),
    shell:
        STAGE("report_results")


rule report_sweeps:
    input:
        PATHS.sweeps,
        SWEEP_RESULTS if STORAGE.used else [],
        STORAGE.behind(SELECTION.sweeps),
    output:
        report(
            PATHS.page("sweeps"),
            caption="report/sweeps.rst",
            category="Robustness",
            subcategory="All sweeps",
            labels={"table": "All sweeps"},
        ),
    log:
        f"{PATHS.suite_folder}/report_sweeps.log",
        benchmark=f"{PATHS.suite_folder}/report_sweeps.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    params:
        slice=SLICE("report_sweeps"),
    shell:
        STAGE("report_sweeps")


# After every job that computes, so that all of them are listed.
rule report_runtimes:
    input:
        PATHS.page("results"),
        [PATHS.page("sweeps")] if SWEEP_RESULTS else [],
        SELECTION.finished(
            f"{PATHS.figures}/data.npz", [f"{each.figures}/data.npz" for each in RUNS]
        ),
    output:
        report(
            PATHS.page("runtimes"),
            caption="report/runtimes.rst",
            category="Software and run times",
            labels={"table": "Run times by job"},
        ),
    log:
        f"{PATHS.suite_folder}/report_runtimes.log",
        benchmark=f"{PATHS.suite_folder}/report_runtimes.tsv",
    conda:
        "../environment.yml"
    resources:
        **NEEDS.resources(),
    params:
        slice=SLICE("report_runtimes"),
    shell:
        STAGE("report_runtimes")
