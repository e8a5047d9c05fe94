"""Which function each stage is, and what it needs before it is imported."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Who asks a warm process reads this table, and is done before the schema would be imported.
    from relu2snn.config.schema import Experiment


class Stage(NamedTuple):
    """module, function: what is called with the stage's config, and with a part where the stage has parts.

    tensorflow: whether it computes with TensorFlow, whatever its config says. parts: whether it runs part by part.
    """

    module: str
    function: str = "run"
    tensorflow: bool = False
    parts: bool = False

    def load(self) -> Callable[..., None]:
        """The function, which may take seconds to import."""
        found: Callable[..., None] = getattr(import_module(f"relu2snn.stages.{self.module}"), self.function)
        return found

    def run(self, config: "Experiment", part: int | None = None) -> None:
        """Run the stage on its slice of a config; part: the part of the images, all without."""
        if self.parts:
            self.load()(config, part)
        else:
            self.load()(config)


STAGES = {
    "data": Stage("data"),
    "custom_data": Stage("custom_data"),
    "places365_sample": Stage("places365_sample"),
    "places365_labels": Stage("places365_labels"),
    "places365_image": Stage("places365_image"),
    "places365_weights": Stage("places365_weights"),
    "places365_part": Stage("places365_part", parts=True),
    "pass_order": Stage("pass_order"),
    "pass_part": Stage("pass_part", parts=True),
    "photographs": Stage("photographs"),
    "train": Stage("train", tensorflow=True),
    "weights": Stage("weights"),
    "phase1": Stage("phase1", tensorflow=True),
    "bounds": Stage("bounds", tensorflow=True),
    "reference": Stage("reference", tensorflow=True),
    "convert": Stage("convert", tensorflow=True),
    "phase2": Stage("phase2", tensorflow=True, parts=True),
    "gather": Stage("gather"),
    "figures": Stage("figures", tensorflow=True),
    "track": Stage("track"),
    "provenance": Stage("provenance"),
    "sweep_point": Stage("sweep_point", tensorflow=True),
    "sweep_gather": Stage("sweep_gather"),
    "track_sweep": Stage("track_sweep"),
    "tradeoffs": Stage("tradeoffs"),
    "results": Stage("tables", "results"),
    "sweep_results": Stage("tables", "sweep_results"),
    "report_results": Stage("tables", "report_results"),
    "report_sweeps": Stage("tables", "report_sweeps"),
    "report_runtimes": Stage("tables", "report_runtimes"),
}
