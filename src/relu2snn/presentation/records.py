"""What MLflow shows of an experiment's result files: a run for the whole of it, and one for each stage."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relu2snn.config import FIGURES, Experiment, Paths, stage_slice
from relu2snn.made import Job, check_files, load_npz
from relu2snn.presentation.described import sizes
from relu2snn.presentation.models import networks
from relu2snn.presentation.notes import experiment_note
from relu2snn.presentation.results import COST_COLUMNS, cost_values, costs_of
from relu2snn.tracking import DataSet, Metric, Record

_TRAINING = {
    "loss": "training_loss",
    "accuracy": "training_accuracy",
    "test_accuracy": "test_accuracy",
    "learning_rate": "learning_rate",
}
_PHASE1 = ("accuracy_original", "accuracy_scaled", "agreement_scaled")
_PHASE2 = ("accuracy", "agreement", "latency")
# What each segment costs, read-outs last, by the names in result.json.
_COSTS = {
    "layer_synaptic_operations": "operations",
    "layer_forced_operations": "forced",
    "layer_dense_macs": "dense_macs",
    "layer_effective_macs": "effective_macs",
}
_EVIDENCE = ("spiking_fraction", "certified", "simulated", "early_spikes", "largest_deviation")


class Results:
    """The result files of one experiment, read once, by one job: they must belong together.

    `data` and `weights` are their source.json; `name` and `tags` those of the runs; `command` makes the results again.
    """

    def __init__(
        self,
        config: Experiment,
        work: Job,
        paths: Paths,
        data: Mapping[str, Any],
        weights: Mapping[str, Any],
        name: str,
        tags: Mapping[str, str],
        command: Sequence[str],
    ) -> None:
        self._config, self._work, self._paths, self._data = config, work, paths, data
        self._name, self._command = name, command
        self._phase1_file = Path(paths.phase1, "result.json")
        self._phase2_file = Path(paths.phase2, "result.json")
        self._phase1 = work.read_json(self._phase1_file, "phase1")
        self._phase2 = work.read_json(self._phase2_file, "gather")
        self._trained = weights["kind"] == "trained"
        self._tags = {**tags, "exact": str(self._phase2["exact"]).lower()}
        self._values = stage_slice(config, "track")
        # How results are shown, and where they stand, is no part of what they are.
        del self._values["tracking"], self._values["run"]
        # Images and weights are told by their content, wherever they stand; but trained ones, which are seeded, differ
        # from run to run.
        self.identity = {
            "config": {
                key: value
                for key, value in self._values.items()
                # The results are the same, whatever one operation of theirs takes.
                if key not in ("outputs", "dataset", "weights", "energy")
            },
            "dataset": {key: value for key, value in self._values["dataset"].items() if key != "source"},
            "data": data["digest"],
            "weights": "trained" if self._trained else weights["sha256"],
        }

    def parent(self) -> Record:
        """The run of the whole experiment, with what a list is sorted by, the figures and the networks."""
        children = self.children().values()
        self._check_figures()
        figures = sorted(Path(self._paths.figures).glob("[!.]*"))
        pictures = [each for name in FIGURES if (each := Path(self._paths.figures, f"{name}.png")) in figures]
        sources = {"data": self._paths.dataset, "weights": self._paths.weights}
        return Record(
            name=self._name,
            params=self._params(),
            tags={**self._tags, "stage": "experiment"},
            metrics=self._columns(),
            files=[
                *((Path(folder, "source.json"), name) for name, folder in sources.items()),
                *((figure, "figures") for figure in figures),
            ],
            time=max(child.time for child in children),
            seconds=sum(child.seconds for child in children),
            config=self._values,
            note=lambda run_id: experiment_note(
                run_id, self._phase1, self._phase2, self._data, self._command, pictures, self._config.energy
            ),
            data=[self._images("train", "training" if self._trained else "calibration"), self._images("test", "test")],
            models=networks(self._config, self._work, self._paths, self._data, self._phase1, self._phase2, self._tags),
        )

    def children(self) -> dict[str, Record]:
        """The runs of the stages, by the stages' names."""
        return {**({"train": self._train()} if self._trained else {}), "phase1": self._scale(), "phase2": self._spike()}

    def _check_figures(self) -> None:
        """Raise UserError unless the figures are those of these results."""
        path = f"{self._paths.figures}/data.npz"
        _, stamp = load_npz(path)
        self._work.accept(path, stamp, ["figures"])
        check_files(path, stamp.of["files"], "figures")

    def _train(self) -> Record:
        file = Path(self._paths.train, "history.json")
        epochs = self._work.read_json(file, "train")["epochs"]
        metrics = [
            (name, float(epoch[key]), epoch["epoch"])
            for epoch in epochs
            for key, name in _TRAINING.items()
            if epoch.get(key) is not None
        ]
        seconds = sum(epoch["seconds"] for epoch in epochs)
        return self._stage("train", file, metrics, seconds, [self._images("train", "training")])

    def _scale(self) -> Record:
        result = self._phase1
        metrics = [*_scalars(result, _PHASE1), *_by_layer("layer_maximum", result["layer_maxima"])]
        for images, fraction in result["nonzero_fraction"].items():
            metrics += _fraction(f"nonzero_fraction_{images}", fraction)
        data = [self._images("train", "calibration"), self._images("test", "test")]
        return self._stage("phase1", self._phase1_file, metrics, result["seconds"], data)

    def _spike(self) -> Record:
        result = self._phase2
        metrics = [
            *_scalars(result, _PHASE2),
            ("exact", float(result["exact"]), 0),
            *(metric for name in _EVIDENCE for metric in _fraction(name, result[name])),
            *self._prices(),
            *(
                metric
                for name, key in _COSTS.items()
                if "costs" in result
                for metric in _by_layer(name, result["costs"][key]["layers"])
            ),
        ]
        return self._stage("phase2", self._phase2_file, metrics, result["seconds"], [self._images("test", "test")])

    def _stage(self, stage: str, file: Path, metrics: list[Metric], seconds: float, data: list[DataSet]) -> Record:
        values = stage_slice(self._config, stage)
        predictions = file.with_name("predictions.npz")
        if predictions.exists():
            self._work.read_npz(predictions, "phase1", "gather")
        return Record(
            name=f"{stage} {self._name}",
            params={key: value for key, value in values.items() if key not in ("outputs", "suite", "name", "run")},
            tags={**self._tags, "stage": stage},
            metrics=metrics,
            files=[(path, None) for path in (file, predictions) if path.exists()],
            time=file.stat().st_mtime,
            seconds=seconds,
            config=values,
            data=data,
        )

    def _images(self, split: str, context: str) -> DataSet:
        return DataSet(
            f"{self._config.dataset.name} {split}",
            self._data["digest"],
            context,
            self._data["origin"].removeprefix("folder "),
            self._data[f"{split}_images"],
            sizes(self._config, self._data)[1],
        )

    def _params(self) -> dict[str, Any]:
        """What a list of runs is filtered by; config.yaml has the rest."""
        values = self._values
        classes, image_shape = sizes(self._config, self._data)
        dataset = {"name": values["dataset"]["name"], "classes": classes, "image_shape": image_shape}
        source = {key: values["dataset"]["source"][key] for key in ("kind", "train_images", "test_images")}
        return {
            "experiment": values["name"],
            "dataset": {**dataset, "source": source},
            "model": values["model"],
            "weights": {"source": values["weights"]["source"]},
            # Given weights were not made by the recipe.
            **({"train": values["train"]} if self._trained else {}),
            "phase1": values["phase1"],
            "phase2": values["phase2"],
        }

    def _columns(self) -> list[Metric]:
        phase1, phase2 = self._phase1, self._phase2
        return [
            *_scalars(phase1, ("accuracy_original", "accuracy_scaled")),
            *_scalars(phase2, _PHASE2),
            ("exact", float(phase2["exact"]), 0),
            *((name, float(phase2[name]["total"]), 0) for name in ("certified", "early_spikes", "spiking_fraction")),
            ("nonzero_fraction", float(phase1["nonzero_fraction"]["test"]["total"]), 0),
            ("images", float(phase2["images"]), 0),
            ("seconds_per_image", phase2["seconds"] / phase2["images"], 0),
            *self._prices(),
        ]

    def _prices(self) -> list[Metric]:
        """What an image costs, in the columns of results.csv."""
        return _scalars(cost_values(costs_of(self._phase2), self._config.energy), COST_COLUMNS)


def _scalars(result: Mapping[str, Any], names: Iterable[str]) -> list[Metric]:
    """The values that are there: data sets without labels have no accuracies."""
    return [(name, float(result[name]), 0) for name in names if result.get(name) is not None]


def _by_layer(name: str, values: Iterable[float]) -> list[Metric]:
    return [(name, float(value), layer) for layer, value in enumerate(values, start=1)]


def _fraction(name: str, fraction: Mapping[str, Any]) -> list[Metric]:
    return [(name, float(fraction["total"]), 0), *_by_layer(f"layer_{name}", fraction["layers"])]
