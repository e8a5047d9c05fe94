"""The notebooks: small in the repository, and executed as a reader would, with what they show."""

import base64
import re
import struct
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from runs import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_the_two_that_the_pages_name() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["exact_mapping", "own_network"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_small_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 40_000
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.id
        assert cell.get("execution_count") is None, cell.id
        assert not cell.metadata, cell.id
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def run(name: str) -> list[Any]:
    """The cells after a run in the notebook's own folder, as Jupyter does it."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute()
    return list(notebook.cells)


@pytest.fixture(scope="module")
def executed() -> list[Any]:
    return run("exact_mapping")


@pytest.fixture(scope="module")
def own() -> list[Any]:
    return run("own_network")


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


@pytest.mark.parametrize("name", ["executed", "own"])
def test_nothing_is_written_to_stderr(name: str, request: pytest.FixtureRequest) -> None:
    cells = request.getfixturevalue(name)
    written = [output.text for cell in cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert written == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_can_be_read_on_a_page(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    lines = [line for cell in calls(notebook.cells, "") for line in cell.source.splitlines()]
    assert max(map(len, lines)) <= 100
    assert path.read_text().count("arXiv:2212.12522") >= 1


def test_the_own_network_has_learned_and_is_proved_exact(own: list[Any]) -> None:
    (trained,) = (texts(cell) for cell in calls(own, "accuracy on the test images"))
    (spiking,) = (texts(cell) for cell in calls(own, "accuracy of the spiking network"))
    accuracy = trained.split()[-1]
    assert float(accuracy) > 0.6
    assert spiking.startswith("0 of 500 images are labelled differently\n")
    assert spiking.split()[-1] == accuracy
    (proof,) = (texts(cell) for cell in calls(own, "print(found)"))
    assert proof.startswith("exact: the same class for 100.00% of 500 images\n")
    # Of a network with two blocks: the stem, and of each block the branch and the sum.
    assert early_of(proof) == [0, 0, 0, 0, 0]
    assert "(100.0000% by construction)" in proof


def test_windows_and_spike_times_fit(own: list[Any]) -> None:
    (summary,) = (texts(cell) for cell in calls(own, "snn.summary()"))
    (times,) = (texts(cell) for cell in calls(own, "spike_times(snn"))
    lines = times.splitlines()
    assert len(lines) == 5
    for line in lines:
        start, end, before, all_of_them, first = map(float, re.findall(r"(?<![_\w])\d+(?:\.\d+)?", line))
        assert start < first < end
        assert 0 < before < all_of_them
        # Each window of the summary, too: t_min and t_max.
        assert re.search(rf"^{line.partition(':')[0]} .* {start:g} +{end:g} *$", summary, re.M)


def test_both_mappings_stand_side_by_side(own: list[Any]) -> None:
    (table,) = (texts(cell) for cell in calls(own, 'mapping="published"'))
    head, *rows = (line.split() for line in table.splitlines())
    assert head == ["mapping", "latency", "exact", "agreement", "neurons", "operations"]
    published, reference = (dict(zip(head, row, strict=True)) for row in rows)
    assert (published.pop("mapping"), reference.pop("mapping")) == ("published", "reference")
    assert float(published.pop("latency")) > float(reference.pop("latency")) == 8.5
    # What the text says of them: the same function, with as many neurons and operations.
    assert published == reference
    assert published["exact"] == "yes"
    assert float(published["agreement"]) == 1


def test_what_is_said_of_energy_and_of_zeros_holds(own: list[Any]) -> None:
    (counted,) = (texts(cell) for cell in calls(own, "print(costs)"))
    first = counted.splitlines()[0]
    operations, macs, effective = (
        float(re.findall(pattern, first)[0].replace(",", ""))
        for pattern in (r"^([\d,]+) synaptic", r"adds ([\d,]+) times", r"([\d,]+) times without zeros")
    )
    assert operations == pytest.approx(effective, rel=0.1)
    assert effective < macs
    (energy,) = (texts(cell) for cell in calls(own, "break-even {"))
    spent = [list(map(float, re.findall(r"([\d.]+) µJ", line))) for line in energy.splitlines() if "µJ" in line]
    shares = [list(map(float, re.findall(r"([\d.]+)%", line))) for line in energy.splitlines() if "%" in line]
    assert len(spent) == len(shares) == 2
    for (spiking, dense, _), (share, break_even) in zip(spent, shares, strict=True):
        assert (spiking < dense) == (share < break_even)


def test_the_own_network_is_loaded_as_it_was_and_drawn(own: list[Any]) -> None:
    (loaded,) = (texts(cell) for cell in calls(own, "load_model"))
    assert loaded == "SpikingModel of 5 layers, largest difference 0.0\n"
    (drawn,) = calls(own, "figures.plot_raster(")
    assert any("image/png" in output.get("data", {}) for output in drawn.outputs)
