"""Where every file of a run stands. Names may be Snakemake wildcards, so rules and stages share these patterns."""

from dataclasses import dataclass
from typing import Self

from relu2snn.config.schema import Experiment

FIGURES = (
    "exactness",
    "raster",
    "spike_times",
    "potentials",
    "output_potentials",
    "layer_maxima",
    "certified",
    "operations",
    "disagreement",
)
"""The figures of every experiment, in the order of reading: files <name>.png and <name>.svg in Paths.figures."""


@dataclass(frozen=True)
class Paths:
    """Files of one configuration: outputs/<suite>/<experiment>/<stage>/<variant>/…

    Without a config they are the patterns of all configurations: what a name depends on is a wildcard, the variant of
    every folder {variant}, a data set's name and variant {dataset}.

    Example:
        Paths.of(config).phase2        # outputs/paper/mnist_fc/phase2/zeta=0.3
        Paths("outputs", "paper").phase2   # outputs/paper/{experiment}/phase2/{variant}
    """

    outputs: str
    suite: str
    experiment: str = "{experiment}"
    config: Experiment | None = None

    @classmethod
    def of(cls, config: Experiment) -> Self:
        """The paths of a config, or of a stage's slice of it.

        A slice names the folders that its stage reads and writes; asked for another, it raises MissingMandatoryValue.
        """
        return cls(config.outputs, config.suite.name, config=config)

    def _variant(self, stage: str) -> str:
        return "{variant}" if self.config is None else str(getattr(self.config.run, stage))

    def _stage(self, name: str, variant: str | None = None) -> str:
        return f"{self.folder}/{name}/{self._variant(variant or name)}"

    @property
    def suite_folder(self) -> str:
        return f"{self.outputs}/{self.suite}"

    @property
    def folder(self) -> str:
        return f"{self.suite_folder}/{self.experiment if self.config is None else self.config.name}"

    @property
    def dataset(self) -> str:
        """The folder of the prepared data set, shared by the experiments of a suite that describe it alike."""
        config = self.config
        name = "{dataset}" if config is None else f"{config.dataset.name}/{config.run.dataset}"
        return f"{self.suite_folder}/datasets/{name}"

    @property
    def container(self) -> str:
        """The engine and image that read the photographs of a data set."""
        return f"{self.dataset}/container.json"

    @property
    def images(self) -> str:
        """The folder of images of containers that are files."""
        return f"{self.outputs}/containers"

    @property
    def train(self) -> str:
        return self._stage("train")

    @property
    def weights(self) -> str:
        return self._stage("weights")

    @property
    def phase1(self) -> str:
        return self._stage("phase1")

    @property
    def scaled(self) -> str:
        """The ReLU network that is mapped, as its mapping scales it."""
        return f"{self.phase1}/{'reference' if self._with_reference else 'scaled'}.keras"

    @property
    def measured(self) -> str:
        """The largest ReLU outputs of that network."""
        return f"{self.phase1}/{'reference' if self._with_reference else 'result'}.json"

    @property
    def maxima(self) -> str:
        """What the windows are made from."""
        assert self.config is not None
        bounds = self.config.phase2.window == "certified" and not self._with_reference
        return f"{self.phase1}/bounds.json" if bounds else self.measured

    @property
    def _with_reference(self) -> bool:
        return self.config is not None and self.config.phase2.mapping == "reference"

    @property
    def phase2(self) -> str:
        return self._stage("phase2")

    def part(self, part: int | str = "{part}") -> str:
        return f"{self.phase2}/parts/{part}"

    @property
    def sweep(self) -> str:
        """The folder of a sweep's table and figure."""
        return self._stage(f"sweep/{self._sweep_name}", "sweep")

    @property
    def _sweep_name(self) -> str:
        return "{sweep}" if self.config is None else self.config.sweep.name

    @property
    def tradeoffs(self) -> str:
        """The table and the figure of all sweeps of an experiment, without .csv, .png and .svg."""
        return f"{self.suite_folder}/tradeoffs/{self.experiment if self.config is None else self.config.name}"

    @property
    def points(self) -> str:
        """The folder of a sweep's points, which do not know of each other."""
        return self._stage(f"sweep/{self._sweep_name}", "points") + "/points"

    def point(self, value: float | str = "{value}") -> str:
        """The results of one value of a sweep; floats are written with every digit they have."""
        return f"{self.points}/{value}"

    def trials(self, value: float) -> str:
        """The folder of a point's finished trials, which is there until all of them are."""
        return f"{self.points}/trials-{value}"

    def log(self, job: str, variant: str = "{variant}") -> str:
        return f"{self.folder}/logs/{variant}/{job}.log"

    def benchmark(self, job: str, variant: str = "{variant}") -> str:
        """Wall time, CPU time and memory of a job, in the form of Snakemake's benchmarks."""
        return f"{self.folder}/benchmarks/{variant}/{job}.tsv"

    @property
    def figures(self) -> str:
        return self._stage("figures")

    @property
    def provenance(self) -> str:
        """The whole config of a phase 2 run, and the software and machine that made its results."""
        return self._stage("provenance", "phase2")

    @property
    def tracked(self) -> str:
        return f"{self._stage('mlflow', 'phase2')}/mlflow.json"

    @property
    def tracked_sweep(self) -> str:
        return f"{self.sweep}/mlflow.json"

    @property
    def results(self) -> str:
        return f"{self.suite_folder}/results.csv"

    def page(self, name: str) -> str:
        """A page of the Snakemake report."""
        return f"{self.suite_folder}/report/{name}.html"

    @property
    def sweeps(self) -> str:
        return f"{self.suite_folder}/sweeps.csv"


def model_files(experiment: Experiment) -> dict[str, str]:
    """The networks that are logged as MLflow models, by their names in tracking.models."""
    paths = Paths.of(experiment)
    files = {"scaled": paths.scaled, "spiking": f"{paths.phase2}/spiking.keras"}
    return {name: files[name] for name in files if name in experiment.tracking.models}
