"""The readers of networks: Keras 2 and 3, spiking networks, ONNX, Caffe."""

# Imported once, in the parent: in every child it would take seconds. The parent computes nothing with it, since
# TensorFlow's threads do not survive a fork.
import relu2snn.stages._tensorflow  # noqa: F401

# isort: split
import contextlib
import importlib.util
import json
import os
import sys
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import keras
import numpy as np
from onnx_networks import branches, channels_last, residual, sequence, shuffled

from fuzz.reader import Reader, digest
from relu2snn import convert
from relu2snn.containers import run_script
from relu2snn.errors import UserError, reading
from relu2snn.graph.nodes import evaluate
from relu2snn.graph.saved import describe
from relu2snn.mapping import load_onnx, read_onnx
from relu2snn.mapping.read_onnx import check_parity, logits
from relu2snn.networks.own import load_own
from relu2snn.networks.weights import load_weights
from relu2snn.saved.keras_files import load_model, save_model
from relu2snn.saved.whole import load_whole
from relu2snn.spiking import network_of

_ROOT = Path(__file__).resolve().parents[2]
_SIDE = 6


@cache
def _network() -> Any:
    """A small network with every kind of layer that files hold weights of."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    start = keras.Input((_SIDE, _SIDE, 1))
    x = layers.Conv2D(2, 3, padding="same", name="conv2d")(start)
    x = layers.ReLU()(layers.BatchNormalization(name="batch_normalization")(x))
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    # Keras 3 finds the weights of a file by these names.
    return keras.Model(start, layers.Dense(3, activation="softmax", name="dense")(x))


@cache
def _plain() -> Any:
    """The same without batch normalisation, which Caffe's dictionary does not have."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    start = keras.Input((_SIDE, _SIDE, 1))
    x = layers.ReLU()(layers.Conv2D(2, 3, padding="same")(start))
    return keras.Model(start, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


def _make_keras2(folder: Path, whole: bool) -> None:
    """HDF5 in the layout of Keras 2."""
    model = _network()
    with h5py.File(folder / ("whole.h5" if whole else "weights.h5"), "w") as file:
        if whole:
            file.attrs["keras_version"], file.attrs["model_config"] = "2.15.0", model.to_json()
        group = file.create_group("model_weights") if whole else file
        layers = [layer for layer in model.layers if layer.weights]
        group.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            inside = group.create_group(layer.name)
            names = [f"{layer.name}/{number}:0" for number in range(len(layer.weights))]
            inside.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, layer.get_weights(), strict=True):
                inside[name] = array


def _make_keras3(folder: Path, name: str) -> None:
    model = _network()
    model.save_weights(folder / name) if name.endswith(".weights.h5") else model.save(folder / name)


def _make_dictionary(folder: Path) -> None:
    (conv, conv_bias), (dense, dense_bias) = (layer.get_weights() for layer in _plain().layers if layer.weights)
    arrays = {"conv1_1/weight": conv.transpose(3, 2, 0, 1), "conv1_1/bias": conv_bias}
    np.savez(folder / "weights.npz", **arrays, **{"fc8/weight": dense.T, "fc8/bias": dense_bias})


def _read_weights(folder: Path, name: str, plain: bool = False) -> str:
    model = _plain() if plain else _network()
    load_weights(model, folder / name)
    return digest(*model.get_weights())


def _read_own(folder: Path) -> str:
    model = load_own(folder / "own.h5")
    return digest(model.to_json(), *model.get_weights())


def _make_json(folder: Path) -> None:
    """An architecture and its weights; of these only the former is changed, the latter being a format of its own."""
    (folder / "net.json").write_text(_network().to_json())
    _network().save_weights(folder / "net.weights.h5")


def _make_tfjs(folder: Path) -> None:
    """A layers model of TensorFlow.js in two shards."""
    layers = [layer for layer in _network().layers if layer.weights]
    weights = [(f"{layer.name}/{weight.name}", weight.numpy()) for layer in layers for weight in layer.weights]
    content = b"".join(array.astype("<f4").tobytes() for _, array in weights)
    (folder / "shard1").write_bytes(content[:99])
    (folder / "shard2").write_bytes(content[99:])
    entries = [{"name": name, "shape": array.shape, "dtype": "float32"} for name, array in weights]
    manifest = [{"paths": ["shard1", "shard2"], "weights": entries}]
    described = {"format": "layers-model", "modelTopology": json.loads(_network().to_json())}
    (folder / "model.json").write_text(json.dumps({**described, "weightsManifest": manifest}))


def _read_whole(folder: Path, name: str) -> str:
    model = load_whole(folder / name, way_out="save it again")
    return digest(model.to_json(), *model.get_weights())


def _make_spiking(folder: Path) -> None:
    images = np.random.RandomState(0).random((8, _SIDE, _SIDE, 1))
    save_model(convert(_network(), images), str(folder / "spiking.keras"))


def _read_model(folder: Path) -> str:
    path = str(folder / "spiking.keras")
    model = load_model(path, "make it again")
    with reading(path, "spiking network", "make it again"):
        network_of(model)
    return digest(model.to_json(), *model.get_weights())


@cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smoke_script", _ROOT / "scripts" / "make_smoke_data.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make_onnx(folder: Path) -> None:
    for build in (residual, shuffled, branches, channels_last, sequence):
        (folder / f"{build.__name__}.onnx").write_bytes(build().SerializeToString())


def _require_right(model: Any, network: Any) -> None:
    """Raise AssertionError for a network that is read as another than the file's, where it can be run at all."""
    if max(int(np.prod(shape)) for shape in network.tensors.values()) > 100_000:
        return
    images = [np.random.RandomState(0).random((2, *source.shape)) for source in network.sources]
    wanted = logits(model)
    try:
        model.run(images, wanted)
    except ValueError:
        # ONNX's own implementation refuses it, as `convert` then does.
        return
    values = evaluate(network, {each.name: chunk for each, chunk in zip(network.sources, images, strict=True)})
    found = [values[node.name] for node in network.readouts]
    try:
        check_parity(model, network, images, found)
    except ValueError as error:
        # Else numbers of a damaged file are so large that nothing is left of others, which is refused for that.
        if "it is read wrongly" in str(error) or "the batch is no axis" in str(error):
            raise AssertionError(str(error)) from None


def _read_onnx(folder: Path) -> str:
    found: list[Any] = []
    for path in sorted(folder.glob("*.onnx")):
        try:
            model = load_onnx(path)
            network = read_onnx(model)
            _require_right(model, network)
        except (ValueError, OSError) as error:
            text = str(error)
            raise UserError(text if str(path) in text else f"{path}: {text}") from None
        for node in network:
            maps = [describe(map_) for map_ in getattr(node, "maps", {}).values()]
            found += [node.name, node.shape, *(part for text, arrays in maps for part in (text, *arrays))]
    return digest(*found)


def _make_caffe(folder: Path) -> None:
    script = _script()
    random = np.random.RandomState(0)
    shapes = {"conv1_1": (2, 3, 3, 3), "fc6": (4, 32), "fc8": (3, 4)}
    layers = [script.Layer(name, shape, random) for name, shape in shapes.items()]
    (folder / "net.prototxt").write_text(script.prototxt(layers).replace(str(script.SIDE), "8"))
    (folder / "net.caffemodel").write_bytes(script.caffemodel(layers))


def _read_caffe(folder: Path) -> str:
    """By the script, as the stage runs it; what it says on stderr is the message."""
    output = folder / "out.npz"
    arguments = [f"--prototxt={folder / 'net.prototxt'}", f"--caffemodel={folder / 'net.caffemodel'}"]
    try:
        with _stderr(folder / "said.txt"):
            run_script(
                "none",
                ["weights", *arguments, f"--output={output}", "--size", "8", "8"],
                [folder],
                folder,
                images=folder,
            )
    except SystemExit:
        raise UserError((folder / "said.txt").read_text().removesuffix("\n")) from None
    except UserError as error:
        # It points to lines that were printed before.
        lines = (folder / "said.txt").read_text().removesuffix("\n") or str(error)
        raise UserError(lines if str(folder) in lines else f"{folder}: {lines}") from None
    with np.load(output) as file:
        return digest(*(file[name] for name in file.files))


@contextlib.contextmanager
def _stderr(path: Path) -> Any:
    """What child processes write on stderr goes into a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# HDF5 is read in a child that has a limit of its own, which is to end it first.
_HDF5 = 90.0

READERS = [
    Reader(
        "keras2_h5",
        partial(_make_keras2, whole=False),
        partial(_read_weights, name="weights.h5"),
        share=0.5,
        seconds=_HDF5,
    ),
    Reader(
        "keras2_whole_h5",
        partial(_make_keras2, whole=True),
        partial(_read_weights, name="whole.h5"),
        share=0.5,
        seconds=_HDF5,
    ),
    Reader(
        "keras3_h5",
        partial(_make_keras3, name="new.weights.h5"),
        partial(_read_weights, name="new.weights.h5"),
        share=0.5,
        seconds=_HDF5,
    ),
    Reader(
        "keras",
        partial(_make_keras3, name="model.keras"),
        partial(_read_weights, name="model.keras"),
        checksum=True,
        share=0.4,
        seconds=_HDF5,
    ),
    Reader("own_h5", partial(_make_keras3, name="own.h5"), _read_own, share=0.4, seconds=_HDF5),
    Reader(
        "json_weights",
        _make_json,
        partial(_read_whole, name="net.json"),
        changed=("net.json",),
        share=0.3,
        seconds=_HDF5,
    ),
    Reader("tfjs", _make_tfjs, partial(_read_whole, name="model.json"), share=0.4),
    Reader("spiking", _make_spiking, _read_model, checksum=True, share=0.4, seconds=_HDF5),
    Reader(
        "caffe_npz", _make_dictionary, partial(_read_weights, name="weights.npz", plain=True), checksum=True, share=0.5
    ),
    Reader("onnx", _make_onnx, _read_onnx, share=0.5, seconds=60.0),
    Reader("caffemodel", _make_caffe, _read_caffe, changed=("net.*",), share=0.1, seconds=60.0),
]
