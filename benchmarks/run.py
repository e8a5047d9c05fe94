"""Measures the engines against ReLU inference and the simulation of every event; writes docs/benchmarks.md.

Run it on a quiet machine: `make bench`, or `python benchmarks/run.py --only "LeNet5" --output somewhere`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from networks import NETWORKS, available, prepare, weights_of

from relu2snn.figures import save_figure
from relu2snn.files import atomic_path
from relu2snn.progress import progress
from relu2snn.software import processor

BATCHES = (1, 8, 256)


def call(folder: Path, batch: int, what: str, value: object) -> Any:
    """One measurement in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("engines.py")), str(folder), str(batch), what, str(value)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"benchmark: {' '.join(command[2:])} ended with {run.returncode}: {run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def measure_network(name: str, repeats: int) -> dict[str, Any]:
    """Times, ratios and memory of one network; LeNet5 also at other batch sizes."""
    batch = NETWORKS[name].batch
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(name, folder)
        row = {"network": name, "weights": weights_of(name), "batch": batch, **call(folder, batch, "times", repeats)}
        row["memory"] = {engine: call(folder, batch, "memory", engine) for engine in ("relu", "certified", "reference")}
        if name == "LeNet5":
            row["batches"] = {size: call(folder, size, "times", repeats) for size in BATCHES} | {
                batch: {key: row[key] for key in ("relu", "certified", "reference")}
            }
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = (
        "network", "weights", "batch", "(a) ReLU, ms", "(b) every event, ms", "(c) certified, ms", "(d) reference, ms",
        "(b)/(a)", "(c)/(a)", "(d)/(a)", "(d) in float32/(a)", "certified (c)", "simulated per image (c)", "early (c)",
        "early (d)", "memory (a), MB", "memory (c), MB", "memory (d), MB",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        milliseconds = [f"{1000 * row[key]:.4g}" for key in ("relu", "events", "certified", "reference")]
        others = ("certified", "reference", "reference32")
        ratios = f"{row['events'] / row['relu']:.1f}", *(f"{row[key] / row['relu']:.2f}" for key in others)
        evidence = f"{row['certified_share']:.6f}", f"{row['simulated_per_image']:.2f}", row["early"]
        evidence = *map(str, evidence), str(row["early_reference"])
        megabytes = (f"{row['memory'][engine]:.0f}" for engine in ("relu", "certified", "reference"))
        cells = (row["network"], row["weights"], str(row["batch"]), *milliseconds, *ratios, *evidence, *megabytes)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def batch_table(row: dict[str, Any]) -> str:
    """How cost per image depends on the batch."""
    head = "| batch | (a) ReLU, ms | (c) certified, ms | (d) reference, ms | (c)/(a) | (d)/(a) |"
    lines = [head, "|---:|---:|---:|---:|---:|---:|"]
    for size, values in sorted(row["batches"].items()):
        relu, certified, reference = (values[key] for key in ("relu", "certified", "reference"))
        times = f"{1000 * relu:.4g} | {1000 * certified:.4g} | {1000 * reference:.4g}"
        lines.append(f"| {size} | {times} | {certified / relu:.2f} | {reference / relu:.2f} |")
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]]) -> Figure:
    """Time per image of the engines, by network."""
    figure = Figure(figsize=(6.7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    styles = (
        ("events", "every event", "v"),
        ("certified", "certified", "o"),
        ("reference", "reference", "s"),
        ("relu", "ReLU network", "_"),
    )
    for (key, label, marker), color in zip(styles, ("#D55E00", "#0072B2", "#009E73", "#000000"), strict=True):
        axes.plot([1000 * row[key] for row in rows], range(len(rows)), marker, color=color, label=label)
    axes.set_yticks(range(len(rows)), [row["network"] for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time per image (ms), float64", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    axes.legend(fontsize=7, frameon=False)
    return figure


def machine() -> str:
    """The processor, its cores and the versions that matter."""
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numba", "numpy"))
    return f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(NETWORKS), help="this network; may be repeated")
    parser.add_argument("--repeats", type=int, default=10, help="batches whose median is taken (default 10)")
    parser.add_argument("--output", default="docs", help="folder of benchmarks.md and its plot (default docs)")
    options = parser.parse_args()
    names = [name for name in options.only or NETWORKS if available(name)]
    rows = []
    for name in progress(names, len(names), "benchmark", "network"):
        rows.append(measure_network(name, options.repeats))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    text = [
        "# Benchmarks",
        f"Made by `make bench`. {machine()}.",
        "Time per image in float64 at ζ = 0.5, medians of one run in which (a), (c) and (d) took turns: (a) the scaled "
        "ReLU network's own inference, (b) the simulation of every event of the published mapping, (c) its certified "
        "engine, same spike times as (b), (d) the mapping with a reference, exact by construction. "
        "*Simulated per image* counts the pairs that (c) walked event by event, *early* their early spikes. "
        "Memory is the peak of a process of its own. 28 x 28 networks take Fashion-MNIST, the others cuts of two "
        "photographs; random weights are He's.",
        table(rows),
        "![Time per image](benchmarks.svg)",
    ]
    text += [part for row in rows if "batches" in row for part in (f"{row['network']} by batch:", batch_table(row))]
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(output / "benchmarks.md") as temporary:
        temporary.write_text("\n\n".join(text) + "\n")
    save_figure(plot(rows), output / "benchmarks")


if __name__ == "__main__":
    main()
