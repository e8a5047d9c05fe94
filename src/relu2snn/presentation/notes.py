"""The descriptions that MLflow shows, in the Markdown that its pages render: tables, code and images, no wrapped lines.

An image is shown by the address under which MLflow's server gives out a file of a run.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from relu2snn.presentation.results import costs_of, energies, shown

Row = Sequence[object]

_KINDS = {
    "real": "",
    "sample": " Its images are a sample of the real ones.",
    "synthetic": " **Its images are synthetic**, so its accuracies say nothing about the network.",
}
# MLflow cuts a tag after 8,000 characters.
_LONGEST = 7600


def experiment_note(
    run_id: str,
    phase1: Mapping[str, Any],
    phase2: Mapping[str, Any],
    data: Mapping[str, Any],
    command: Sequence[str],
    figures: Sequence[Path],
    energy: Any,
) -> str:
    """What one experiment has found and costs, how to make it again, and its figures, for the run of this id.

    energy: the constants of conf/energy/.
    """
    images = phase2["images"]
    same = round(phase2["agreement"] * images)
    labelled = phase1["accuracy_original"] is not None
    accuracies = (phase1["accuracy_original"], phase1["accuracy_scaled"], phase2["accuracy"])
    parts = [
        f"The spiking network predicts what the original network predicts for **{same:,} of {images:,} images** of "
        f"`{phase2['dataset']}`; {_exactness(phase2)}.{_KINDS[data['kind']]}",
        table(
            ("", "original", "scaled ReLU", "spiking"),
            [
                *([("accuracy", *map(shown, accuracies))] if labelled else []),
                ("agreement with the original", "", shown(phase1["agreement_scaled"]), shown(phase2["agreement"])),
            ],
        ),
        table(
            ("spiking network", phase2["variant"]),
            [
                ("exact", shown(phase2["exact"])),
                ("certified pairs of neuron and image", shown(phase2["certified"]["total"])),
                ("simulated pairs", f"{phase2['simulated']['total']:,}"),
                ("spikes before their window", f"{phase2['early_spikes']['total']:,}"),
                ("largest deviation", f"{phase2['largest_deviation']['total']:.2g}"),
                ("latency, in input windows", shown(phase2["latency"])),
                ("neurons that spike before the end of their window", shown(phase2["spiking_fraction"]["total"])),
                ("seconds per image", f"{phase2['seconds'] / images:.2g}"),
                ("computed on", phase2["device"]),
            ],
        ),
        *_costs(phase2, energy),
        f"**Make it again**\n\n```\n{shlex.join(command)}\n```",
        f"**Layers**, largest ReLU output on {phase1['calibration_images']:,} calibration images\n\n"
        + table(
            ("layer", "largest ReLU output", "window", "certified", "early", "spiking"),
            [_layer(phase2, number) for number in range(len(phase2["layers"]))],
        ),
    ]
    return _with_images(parts, run_id, figures)


def sweep_note(
    run_id: str, result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], figures: Sequence[Path]
) -> str:
    """The points of a sweep and its figure, for the run of this id."""
    name = result["sweep"]
    points = [
        (
            f"{row['value']:g}",
            row["trials"],
            _spread(row, "accuracy"),
            _spread(row, "agreement"),
            shown(row["certified_mean"]),
            shown(row["latency"]),
        )
        for row in rows
    ]
    parts = [
        f"Phase 2 of `{result['experiment']}` with `phase2.{name}` at {len(rows)} values, mean ± standard deviation "
        "over the trials. Each value is a run below this one. Select them and *Compare*: "
        f"`phase2.{name}` on one axis, `accuracy` or `agreement` on the other.",
        table((name, "trials", "accuracy", "agreement", "certified", "latency"), points),
    ]
    return _with_images(parts, run_id, figures, folder=None)


def suite_note(suite: str) -> str:
    """What stands in the MLflow experiment of a suite."""
    return "\n\n".join(
        [
            f"Results of `suite={suite}`: trained ReLU networks mapped to networks whose neurons spike at most once "
            "([arXiv:2212.12522](https://arxiv.org/abs/2212.12522)).",
            "- A run is one experiment; its description says what was found. Below it: training, phase 1, phase 2, "
            "sweeps and their points.\n"
            "- `agreement`: share of test images with the prediction of the original network. `exact`: 1 where every "
            "neuron was proved, or simulated, to compute its ReLU. `certified`: share that was proved. "
            "`latency`: in input windows.\n"
            "- Whole runs only: filter by `tags.stage = 'experiment'`. The points of a sweep: "
            "`tags.stage = 'sweep_point'`.",
        ]
    )


def table(head: Row, rows: Sequence[Row]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _exactness(phase2: Mapping[str, Any]) -> str:
    if phase2["exact"]:
        return "**exact**: every neuron has computed its ReLU"
    if phase2["noise"] or phase2["alpha_noise"] or phase2["reference_noise"]:
        return "not exact, since it was run with noise"
    return f"**not exact**: {'; '.join(phase2['not_exact'])}"


def _costs(phase2: Mapping[str, Any], settings: Any) -> list[str]:
    """What an image costs in operations, and in energy by each model; nothing of a result that has not counted it."""
    counts = costs_of(dict(phase2))
    if counts is None:
        return []
    found = energies(counts, settings)
    numbers = settings.float32
    return [
        "**Costs of an image**\n\n"
        + table(
            ("spiking network", "", "ReLU network", ""),
            [
                (
                    "synaptic operations",
                    f"{counts.operations:,.0f}",
                    "multiply-accumulates",
                    f"{counts.dense_macs:,}",
                ),
                ("of synapses", f"{counts.synapses:,}", "of these without zeros", f"{counts.effective_macs:,.0f}"),
                (
                    "of forced spikes",
                    f"{counts.forced:,.0f}",
                    f"latency, steps of {settings.resolution:g}",
                    f"{counts.latency / settings.resolution:,.0f}",
                ),
            ],
        ),
        table(
            ("nJ for an image", "spiking", "ReLU", "ReLU, zeros skipped", "inputs that spike", "break-even"),
            [
                (
                    name,
                    *(f"{value / 1e3:,.4g}" for value in (each.spiking, each.dense, each.effective)),
                    f"{each.share:.1%}",
                    f"{each.break_even:.1%}",
                )
                for name, each in found.items()
            ],
        ),
        f"With memory, {found['float32 and memory'].verdict}. Estimates of 45 nm: float32 {numbers.mac:g} pJ for a "
        f"multiply-accumulate, {numbers.accumulate:g} for an accumulate, {numbers.access:g} for a word of memory. "
        "Updates of potentials, forced spikes and the transport of spikes are left out; see docs/costs.md.",
    ]


def _layer(phase2: Mapping[str, Any], number: int) -> Row:
    start, end = phase2["windows"][number]
    return (
        f"`{phase2['layers'][number]}`",
        shown(phase2["layer_maxima"][number]),
        f"{shown(start)} to {shown(end)}",
        shown(phase2["certified"]["layers"][number]),
        f"{phase2['early_spikes']['layers'][number]:,}",
        shown(phase2["spiking_fraction"]["layers"][number]),
    )


def _spread(row: Mapping[str, Any], name: str) -> str:
    mean, deviation = row[f"{name}_mean"], row[f"{name}_std"]
    return shown(mean) if deviation is None else f"{shown(mean)} ± {deviation:.4f}"


def _images(run_id: str, figures: Sequence[Path], length: int, folder: str | None = "figures") -> str:
    """The figures in a row, as many as a description has place for beside `length` characters of text."""
    found: list[str] = []
    for figure in figures:
        path = quote(f"{folder}/{figure.name}" if folder else figure.name, safe="/")
        found.append(f"![{figure.stem.replace('_', ' ')}](get-artifact?path={path}&run_uuid={run_id})")
        if length + sum(map(len, found)) + len(found) > _LONGEST:
            found.pop()
            break
    return " ".join(found)


def _with_images(parts: Sequence[str], run_id: str, figures: Sequence[Path], folder: str | None = "figures") -> str:
    """The parts of a description, after the first of them the figures, which are all among the run's artifacts."""
    images = _images(run_id, figures, sum(len(part) + 2 for part in parts) + 2, folder)
    return "\n\n".join([parts[0], *([images] if images else []), *parts[1:]])
