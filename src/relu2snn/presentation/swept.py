"""What figures of sweeps draw: spreads over trials, out of the rows of sweeps' tables."""

from collections.abc import Sequence

from relu2snn.figures import Curve, Figure, Spread, plot_sweep, plot_tradeoffs
from relu2snn.presentation.results import Row, point_rows


def sweep_figure(sweep: Row) -> Figure:
    """The figure of one sweep, from its result."""
    rows = point_rows(sweep)
    # Its values and trials are what it shows.
    others = [text for text in sweep["overrides"] if not text.startswith("sweep.")]
    accuracy = [_spread(row, "accuracy") for row in rows]
    return plot_sweep(
        rows[0]["parameter"],
        [row["value"] for row in rows],
        agreement=_spreads(rows, "agreement"),
        early=_early(rows),
        # Data without labels have no accuracy.
        accuracy=[each for each in accuracy if each] if all(accuracy) else None,
        images=rows[0]["images"],
        trials=max(row["trials"] for row in rows),
        title=f"{sweep['experiment']}, mapping {_configuration(sweep['mapping'], others)}",
    )


def tradeoffs_figure(rows: Sequence[Row]) -> Figure:
    """The figure of all sweeps of an experiment, from what `collect_sweeps` has of it: a line for each configuration.

    That is a mapping with the overrides that it was run with.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((_configuration(row["mapping"], row["overrides"].split()), row["parameter"]), []).append(row)
    curves = [
        Curve(
            label,
            parameter,
            values=[point["value"] for point in points],
            windows=[point["window"] for point in points],
            latencies=[point["latency"] for point in points],
            agreement=_spreads(points, "agreement"),
            early=_early(points),
        )
        for (label, parameter), points in groups.items()
    ]
    counts = {row["images"] for row in rows}
    return plot_tradeoffs(curves, counts.pop() if len(counts) == 1 else None)


def _configuration(mapping: str, overrides: Sequence[str]) -> str:
    return " ".join([mapping, *(text for text in overrides if not text.startswith("phase2.mapping="))])


def _early(rows: Sequence[Row]) -> list[Spread]:
    return [
        Spread(*(each / row["images"] for each in found))
        for row, found in zip(rows, _spreads(rows, "early_spikes"), strict=True)
    ]


def _spreads(rows: Sequence[Row], name: str) -> list[Spread]:
    return [found for row in rows if (found := _spread(row, name))]


def _spread(row: Row, name: str) -> Spread | None:
    if row[f"{name}_mean"] is None:
        return None
    return Spread(row[f"{name}_mean"], row[f"{name}_min"], row[f"{name}_max"])
