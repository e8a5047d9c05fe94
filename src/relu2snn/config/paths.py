"""Where every file of a run stands. Names may be Snakemake wildcards, so rules and stages share these patterns."""

from dataclasses import dataclass

from relu2snn.config.schema import Experiment, Phase2

FIGURES = (
    "exactness",
    "raster",
    "spike_times",
    "potentials",
    "output_potentials",
    "layer_maxima",
    "certified",
    "disagreement",
)
"""The figures of every experiment, in the order of reading: files <name>.png and <name>.svg in Paths.figures."""


def variant_name(phase2: Phase2) -> str:
    """The folder of a phase 2 run: "base" as published, else what it has of its own, as in "noise=0.01"."""
    values = {"noise": phase2.noise, "alpha_noise": phase2.alpha_noise}
    names = [f"{name}={value:g}" for name, value in values.items() if value]
    if phase2.window != "margin":
        names.append(f"window={phase2.window}")
    if phase2.precision != "float64":
        names.append(f"precision={phase2.precision}")
    return ",".join(names) or "base"


@dataclass(frozen=True)
class Paths:
    """Files of one experiment of one suite: outputs/<suite>/<experiment>/<stage>/…"""

    outputs: str
    suite: str
    experiment: str = "{experiment}"

    @property
    def suite_folder(self) -> str:
        return f"{self.outputs}/{self.suite}"

    @property
    def folder(self) -> str:
        return f"{self.suite_folder}/{self.experiment}"

    def dataset(self, name: str) -> str:
        """The folder of a prepared data set, shared by the experiments of a suite."""
        return f"{self.suite_folder}/datasets/{name}"

    @property
    def container(self) -> str:
        """The engine and image that read Caffe's files."""
        return f"{self.suite_folder}/container.json"

    @property
    def train(self) -> str:
        return f"{self.folder}/train"

    @property
    def weights(self) -> str:
        return f"{self.folder}/weights"

    @property
    def phase1(self) -> str:
        return f"{self.folder}/phase1"

    def phase2(self, variant: str = "{variant}") -> str:
        return f"{self.folder}/phase2/{variant}"

    def part(self, variant: str = "{variant}", part: int | str = "{part}") -> str:
        return f"{self.phase2(variant)}/parts/{part}"

    def sweep(self, name: str = "{sweep}") -> str:
        return f"{self.folder}/sweep/{name}"

    def point(self, name: str = "{sweep}", value: float | str = "{value}") -> str:
        """The results of one value of a sweep; floats are written with every digit they have."""
        return f"{self.sweep(name)}/points/{value}"

    def log(self, job: str) -> str:
        return f"{self.folder}/logs/{job}.log"

    def benchmark(self, job: str) -> str:
        """Wall time and memory of a job, as Snakemake measures them."""
        return f"{self.folder}/benchmarks/{job}.tsv"

    @property
    def figures(self) -> str:
        return f"{self.folder}/figures"

    @property
    def provenance(self) -> str:
        """The experiment's whole config, and the software and machine that made its results."""
        return f"{self.folder}/provenance"

    @property
    def tracked(self) -> str:
        return f"{self.folder}/mlflow.json"

    @property
    def results(self) -> str:
        return f"{self.suite_folder}/results.csv"

    def page(self, name: str) -> str:
        """A page of the Snakemake report."""
        return f"{self.suite_folder}/report/{name}.html"

    @property
    def sweeps(self) -> str:
        return f"{self.suite_folder}/sweeps.csv"


def model_files(experiment: Experiment, paths: Paths) -> dict[str, str]:
    """The networks that are logged as MLflow models, by their names in tracking.models."""
    files = {
        "scaled": f"{paths.phase1}/scaled.keras",
        "spiking": f"{paths.phase2(variant_name(experiment.phase2))}/spiking.keras",
    }
    return {name: files[name] for name in files if name in experiment.tracking.models}
