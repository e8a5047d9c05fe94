"""The notebook: small in the repository, and executed as a reader would, with what it shows."""

import base64
import re
import struct
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "exact_mapping.ipynb"


def test_it_is_committed_small_and_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 40_000
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.id
        assert cell.get("execution_count") is None, cell.id
        assert not cell.metadata, cell.id
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.fixture(scope="module")
def executed() -> list[Any]:
    """The cells after a run in the notebook's own folder, as Jupyter does it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return list(notebook.cells)


def texts(cell: Any) -> str:
    """What a cell has printed, and its value as text."""
    shown = [output.get("text") or output.data.get("text/plain", "") for output in cell.get("outputs", [])]
    return "\n".join(shown)


def calls(cells: list[Any], word: str) -> list[Any]:
    return [cell for cell in cells if cell.cell_type == "code" and word in cell.source]


def early_of(shown: str) -> list[int]:
    """The early spikes of each layer, in the table of a verification."""
    rows = [re.split(r"  +", line.strip()) for line in shown.splitlines()]
    first = next(number for number, row in enumerate(rows) if row[0] == "layer")
    place = rows[first].index("early")
    return [int(row[place].replace(",", "")) for row in rows[first + 1 :] if len(row) > place]


def test_both_networks_are_the_same_and_short_windows_are_not(executed: list[Any]) -> None:
    exact, short = (texts(cell) for cell in calls(executed, "verify(model, "))
    assert exact.startswith("exact: the same class for 100.00% of 500 images\n")
    assert early_of(exact) == [0, 0, 0, 0]
    assert short.startswith("not exact: the same class for ")
    early = early_of(short)
    assert len(early) == 4
    assert min(early) > 0
    assert float(re.findall(r"the same class for ([\d.]+)%", short)[0]) < 100
    (kinds,) = (texts(cell) for cell in calls(executed, "trace.kind"))
    assert "'early'" in kinds
    (agreeing,) = (texts(cell) for cell in calls(executed, "labelled differently"))
    assert agreeing.startswith("0 of 500 images")


def test_the_network_has_learned_and_phase_1_changes_no_output(executed: list[Any]) -> None:
    (trained,) = (texts(cell) for cell in calls(executed, "accuracy on the test images"))
    assert float(trained.rsplit(maxsplit=1)[1]) > 0.6
    logits, decoded = (texts(cell) for cell in calls(executed, "largest difference"))
    for text in (logits, decoded):
        assert float(text.split()[-1]) < 1e-9
    # Scaled sums end at the bound, those before it beyond.
    tops = re.findall(r", +([\d.]+)\] to \[ *[-\d.]+, +([\d.]+)\]", logits)
    assert len(tops) == 4
    assert all(float(after) == 0.99 < float(before) for before, after in tops)


def test_every_figure_is_shown_as_an_image(executed: list[Any]) -> None:
    names = ("raster", "spike_times", "potentials", "output_potentials", "layer_maxima", "certified", "exactness")
    drawn = {}
    for cell in executed:
        for output in cell.get("outputs", []):
            data = base64.b64decode(output.get("data", {}).get("image/png", ""))
            if data:
                width, height = struct.unpack(">II", data[16:24])
                assert data.startswith(b"\x89PNG")
                assert min(width, height) > 300
                drawn[cell.id] = data
    for name in (*names, "disagreement"):
        assert {cell.id for cell in calls(executed, f"figures.plot_{name}(")} <= set(drawn), name
    # Drawn by a function of the notebook's, once for each network.
    assert {cell.id for cell in calls(executed, "evidence(")} <= set(drawn)
    assert len(set(drawn.values())) == len(drawn) == 11


def test_nothing_is_written_to_stderr(executed: list[Any]) -> None:
    written = [output.text for cell in executed for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert written == []


def test_it_can_be_read_on_a_page() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    lines = [line for cell in calls(notebook.cells, "") for line in cell.source.splitlines()]
    assert max(map(len, lines)) <= 100
    assert Path(NOTEBOOK).read_text().count("arXiv:2212.12522") >= 1
