"""Pages that say what the code has: layers and operators that are mapped, errors, public names."""

import re
from collections import Counter
from typing import Any

import error_page
import keras
import layer_page
import pytest
from keras import layers
from runs import ROOT

from relu2snn.mapping import UnsupportedLayerError, read_keras
from relu2snn.mapping.keras_layers import HANDLERS, NOTHING, SIZING


def test_the_page_of_layers_is_that_of_the_readers_tables() -> None:
    assert (ROOT / "docs" / "layers.md").read_text() == layer_page.text(), "make pages"


def accepted(part: str) -> set[str]:
    """The names in the last column of the first table of a section of the page."""
    page = (ROOT / "docs" / "layers.md").read_text().partition(f"\n## {part}\n")[2]
    table = page.partition("\n| what |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()]
    return {name for row in rows[2:] for name in re.findall(r"`(\w+)`", row[2])}


# What a layer may need that has no default: of a layer by its name, else the first that it takes.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "relu"},
    "CenterCrop": {"height": 8, "width": 8},
    "Normalization": {"mean": 0.0, "variance": 1.0},
    "Permute": {"dims": (2, 1, 3)},
    "RandomCrop": {"height": 8, "width": 8},
    "Rescaling": {"scale": 2.0},
    "Reshape": {"target_shape": (-1,)},
    "Resizing": {"height": 8, "width": 8},
}
GUESSES: tuple[dict[str, Any], ...] = (
    {},
    {"units": 2},
    {"kernel_size": 3},
    {"filters": 2, "kernel_size": 3},
    {"pool_size": 2},
    *({name: 0.1} for name in ("rate", "stddev", "factor", "height_factor")),
    {"n": 2},
)
SEVERAL = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")


def small(kind: type, rank: int) -> keras.Model | None:
    """A network of one such layer on images of a rank, if it can be built."""
    inputs = keras.Input((8,) * rank + (3,))
    given = [inputs, layers.Identity()(inputs)] if kind.__name__ in SEVERAL else inputs
    for options in (ARGUMENTS[kind.__name__],) if kind.__name__ in ARGUMENTS else GUESSES:
        try:
            return keras.Model(inputs, kind(**options)(given))
        except Exception:
            continue
    return None


def test_the_reader_takes_the_layers_of_the_page_and_no_others() -> None:
    """Each layer of Keras in a network of its own, of the ranks on which it can be built."""
    page = accepted("Keras")
    assert page == {kind.__name__ for kind in HANDLERS}
    nothing = {kind.__name__ for kind in NOTHING} | {kind.__name__ for kind in SIZING}
    tried = Counter[str]()
    every = {each for each in vars(layers).values() if isinstance(each, type) and issubclass(each, layers.Layer)}
    for kind in sorted(every, key=lambda each: each.__name__):
        for rank in range(4):
            model = small(kind, rank)
            if model is None or kind is layers.InputLayer or (kind in SIZING and rank != 2):
                continue
            name = kind.__name__
            if name in page | nothing:
                assert read_keras(model) is not None, name
                tried["taken"] += 1
            else:
                with pytest.raises(UnsupportedLayerError, match=re.escape(f"({name})")):
                    read_keras(model)
                tried["refused"] += 1
                continue
            tried[name] += 1
    assert page - set(tried) == set(), "no network was built of these"
    assert len(nothing - set(tried)) < 8, nothing - set(tried)
    assert tried["refused"] > 20


def test_the_page_of_operators_names_those_that_are_read() -> None:
    assert accepted("ONNX") == set(layer_page.read_onnx_handlers())


def test_every_error_has_its_place_and_every_text_of_troubleshooting_stands_in_the_source() -> None:
    said = list(error_page.texts())
    assert len(said) > 400
    assert {each.kind for each in said} == {error_page.LINE, error_page.REASON, error_page.VALUE}
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    headings = set(re.findall(r"^## (.+)$", page, re.M))
    assert {
        title for title, parts in error_page.SECTIONS.items() if any(each.part in parts for each in said)
    } <= headings
    quoted = re.findall(r"^\| `(.+?)` \|", page, re.M)
    assert len(quoted) > 60
    source = [re.sub(r"…+", "…", each.text) for each in said]
    files = [*(ROOT / "src" / "relu2snn").rglob("*.py"), ROOT / "scripts" / "install.sh"]
    others = "\n".join(path.read_text() for path in files)
    for text in quoted:
        pattern = ".*".join(re.escape(piece) for piece in text.replace("\\|", "|").split("…") if piece)
        assert any(re.search(pattern, each) for each in source) or re.search(pattern, others), text


def test_every_public_name_is_in_the_reference() -> None:
    for name in ("relu2snn", "relu2snn.mapping", "relu2snn.spiking", "relu2snn.figures"):
        package = __import__(name, fromlist=["__all__"])
        page = (ROOT / "docs" / "api" / f"{name.rpartition('.')[2]}.md").read_text()
        for each in package.__all__:
            assert re.search(rf"(:: |`){each}\b", page) or (name == "relu2snn.figures" and each == "Figure"), (
                f"{name}.{each}"
            )


def test_the_table_of_the_first_page_is_that_of_the_page_that_explains_it() -> None:
    tables = [
        [line for line in (ROOT / name).read_text().splitlines() if line.startswith("| `fmnist_")]
        for name in ("README.md", "docs/start.md")
    ]
    assert len(tables[0]) > 3
    assert tables[0] == tables[1]
