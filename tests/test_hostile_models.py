"""Damaged and hostile files of networks and weights: a correct read or one clear line, in bounded time and memory."""

import json
import resource
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import keras
import numpy as np
import pytest
from smoke_data import make

from relu2snn.config.schema import Model
from relu2snn.errors import UserError, reading
from relu2snn.mapping import bounded_sums, read_keras, relu_model, relu_network, to_spiking
from relu2snn.networks.build import build
from relu2snn.networks.weights import load_weights
from relu2snn.saved.child import ChildError, child
from relu2snn.saved.hdf5 import read_hdf5
from relu2snn.saved.keras_files import load_model, save_model
from relu2snn.spiking import SpikingModel, network_of, spiking_model

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = Path(__file__).parent / "hostile"
SHAPE = (8, 8, 1)
FC = Model(name="fc", family="fc", width=1.0, blocks=[], dense=[12], batch_norm="none")


def network() -> keras.Model:
    model = build(FC, SHAPE, 10)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    return model


def spiking_of(model: keras.Model) -> SpikingModel:
    scaled = bounded_sums(read_keras(model))
    return spiking_model(to_spiking(scaled, dict.fromkeys(scaled.populations, 2.0), mapping="published"))


def spiking() -> SpikingModel:
    return spiking_of(network())


def line(reader: Callable[[], Any], path: Path) -> str:
    """The one line of a refusal, which names the file, says why and what to do."""
    with pytest.raises(UserError) as caught:
        reader()
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(f"{path}: ")
    assert "; " in text
    return text.removeprefix(f"{path}: ")


def refused(path: Path) -> str:
    if path.suffix == ".keras":
        return line(lambda: opened(path), path)
    return line(lambda: load_weights(network(), path), path)


def opened(path: Path) -> keras.Model:
    """A network as whoever runs it loads it: what it says of itself must fit together."""
    model = load_model(path, "replace it")
    with reading(path, "network", "replace it"):
        if isinstance(model, SpikingModel):
            network_of(model)
        elif any(hasattr(layer, "node") for layer in model.layers):
            relu_network(model)
    return model


FILES = [
    path
    for folder in ("caffe_npz", "keras2_h5", "keras2_whole_h5", "spiking")
    for path in sorted((HOSTILE / folder).iterdir())
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_hostile_files_are_one_line_in_bounded_memory(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(path).startswith("not a readable ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def hdf5(make: Callable[[h5py.File], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = ["dense"]
            file.create_group("dense").attrs["weight_names"] = ["x"]
            make(file["dense"])

    return write


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", shape=(3,))
    group.create_virtual_dataset("x", layout)


def outside(group: h5py.Group) -> None:
    group.create_dataset("x", shape=(64,), dtype="u1", external=[(__file__, 0, 64)])


HDF5 = {
    "external link": (lambda group: group.__setitem__("x", h5py.ExternalLink(__file__, "/x")), "/dense/x is an ext"),
    "soft link": (lambda group: group.__setitem__("x", h5py.SoftLink("/y")), "/dense/x is a soft link"),
    "external storage": (outside, "/dense/x keeps its numbers in another file"),
    "virtual": (virtual, "/dense/x is a virtual array of other files"),
    "loop": (lambda group: group.__setitem__("x", group), "the group /dense/x is there twice"),
    "deep": (lambda group: group.create_group("/".join("a" * 60)), "too many groups, or too deep ones"),
    "declared": (lambda group: group.create_dataset("x", shape=(10**12,)), "/dense/x declares (1000000000000,)"),
    "declared chunks": (
        lambda group: group.create_dataset("x", shape=(10**9,), chunks=(1000,)),
        "/dense/x declares (1000000000,) float32",
    ),
    "bomb": (
        lambda group: group.create_dataset("x", data=np.zeros(10**7, "f4"), chunks=(10**6,), compression="gzip"),
        "/dense/x declares (10000000,) float32",
    ),
    "text": (lambda group: group.create_dataset("x", data="1 2 3"), "/dense/x is not an array of numbers"),
    "pairs": (lambda group: group.create_dataset("x", data=np.zeros(3, "f4,f4")), "/dense/x is not an array of"),
    "type": (lambda group: group.__setitem__("x", np.dtype("f4")), "/dense/x is neither a group nor an array"),
}  # fmt: skip


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_that_is_not_plain_numbers_is_refused_by_name(tmp_path: Path, name: str) -> None:
    change, message = HDF5[name]
    path = tmp_path / "weights.h5"
    hdf5(change)(path)
    assert message in refused(path)


def test_a_hang_and_a_crash_end_the_child_alone(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, sys, time\nprint('x', flush=True)\nexec(sys.argv[1])\n")
    reasons = {
        "os.kill(os.getpid(), 11)": "its parser crashed with SIGSEGV",
        "time.sleep(600)": "it was not read in 2 s",
        "sys.exit(7)": "its parser ended with status 7",
        "os.kill(os.getpid(), 24)": "reading it does not end, or takes too much memory",
    }
    for code, reason in reasons.items():
        with pytest.raises(ChildError, match=reason), child(script, [code], 2) as output:
            assert output.read() == b"x\n"


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "float": random.random((3, 4)),
        "half": random.random(5).astype("f2"),
        "big endian": random.random(5).astype(">f4"),
        "whole": np.arange(7),
        "flags": np.array([True, False]),
        "one": np.array(3.5),
        "none": np.zeros((0, 3)),
        # More than the child sends at once.
        "long": random.random((5, 10**6)),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file[f"a/{name}"] = array
        file.create_dataset("a/packed", data=arrays["float"], chunks=(2, 2), compression="gzip", shuffle=True)
        file["skipped/b"] = np.ones(3)
        file["a"].attrs["layer_names"] = [b"x", b"y"]
    found = read_hdf5(tmp_path / "a.h5", skip=["skipped"])
    assert set(found.members) == {"a"}
    assert found.group("a").names == {"layer_names": ["x", "y"]}
    for name, array in {**arrays, "packed": arrays["float"]}.items():
        np.testing.assert_array_equal(found.array(f"a/{name}"), array)
    with pytest.raises(KeyError):
        found.array("a/nothing")


def rewrite(path: Path, **members: bytes) -> None:
    """Replace members of an archive; checksums are right."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**kept, **{key.replace("_json", ".json"): data for key, data in members.items()}}.items():
            archive.writestr(name, data)


def config_of(path: Path) -> str:
    return zipfile.ZipFile(path).read("config.json").decode()


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = config_of(path)
        assert old in text
        rewrite(path, config_json=text.replace(old, new).encode())

    return change


def twice(path: Path) -> None:
    text = config_of(path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", text)


def encrypted(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + place] |= 1
            start = data.find(mark, start + 1)
    path.write_bytes(data)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", bytes(1 << 26))


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in kept.items():
            archive.writestr(name, data)


def lying(path: Path) -> None:
    """Declare 1.5 GB of weights in the central directory."""
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"model.weights.h5"))
    data[entry + 20 : entry + 28] = struct.pack("<II", 1_500_000_000, 1_500_000_000)
    path.write_bytes(data)


def without_weights(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)


def elsewhere(path: Path) -> None:
    """A layer that is said to be of this package, of a module that is not."""
    text = config_of(path).replace("relu2snn.spiking.layers", "os").replace("SpikeEncoder", "system")
    rewrite(path, config_json=text.encode())


FUNCTION = '{"class_name": "function", "config": "get_file", "module": "keras.utils", "registered_name": "get_file"}'
LAMBDA = '"class_name": "Lambda"'
KERAS = {
    "twice": (twice, "config.json is in it twice"),
    "encrypted": (encrypted, "is encrypted"),
    "bomb": (bomb, "model.weights.h5 declares 67108864 bytes, of which"),
    "compressed": (compressed, "model.weights.h5 is compressed, which Keras never does"),
    "lying": (lying, "its members are larger than the file"),
    "no weights": (without_weights, "no model.weights.h5 in it"),
    "brackets": (lambda path: rewrite(path, config_json=b"[" * 200_000), "recursion"),
    "not UTF-8": (lambda path: rewrite(path, config_json=b"\xff{}"), "codec"),
    "no object": (lambda path: rewrite(path, config_json=b"[]"), "config.json is no description of a model"),
    "no class": (lambda path: rewrite(path, config_json=b"{}"), "a dict instead of a model"),
    "our unknown": (replaced("relu2snn>SpikingNeurons", "relu2snn>SpikingNewtons"), "cannot build it"),
    "ours of another module": (elsewhere, "cannot build it"),
    "declared": (replaced('"filters": 12', '"filters": 60000000'), "it declares weights of "),
    "filters": (replaced('"filters": 12', '"filters": -3'), "filters=-3: must be a whole number, at least 1"),
    "half a filter": (replaced('"filters": 12', '"filters": 12.5'), "filters=12.5: must be a whole number"),
    "digits": (replaced('"filters": 12', f'"filters": 1{"0" * 400}'), "must be a whole number"),
    "window": (replaced('"t_min": 1.0', '"t_min": NaN'), "t_min=nan: must be a finite number"),
    "no window": (replaced('"t_start": 0.0', '"t_start": 5e300'), "need t_start < t_min < t_max"),
    "noise": (replaced('"noise": 0.0', '"noise": Infinity'), "noise=inf: must be a finite number"),
    "seed": (replaced('"seed": ', '"seed": -'), "must be a whole number, at least 0"),
    "range": (replaced('"low": 0.0', '"low": 1.0'), "low=1.0, high=1.0: need low < high"),
}  # fmt: skip
PLAIN = {
    "lambda": (replaced('"class_name": "Flatten"', LAMBDA), "it holds a Lambda layer, which may run any code"),
    "module": (replaced('"module": "keras.layers", "class_name": "Flatten"', '"module": "os", "class_name": "system"'),
               "it names os.system, which is no layer of Keras"),
    "gadget": (replaced('"data_format": "channels_last"', f'"data_format": {FUNCTION}'),
               "it names keras.utils.get_file, which is no layer of Keras"),
    "unknown": (replaced('"class_name": "Flatten"', '"class_name": "Flutten"'), "cannot build it"),
    "declared": (replaced('"units": 10', '"units": 1000000000000'), "it declares weights of "),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "spiking.keras"
    save_model(spiking(), path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    path = tmp_path / "spiking.keras"
    path.write_bytes(saved.read_bytes())
    return path


def assert_refused(path: Path, message: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", KERAS)
def test_keras_files_that_declare_or_name_what_they_must_not(copy: Path, name: str) -> None:
    change, message = KERAS[name]
    change(copy)
    assert_refused(copy, message)


@pytest.mark.parametrize("name", PLAIN)
def test_networks_of_keras_that_declare_or_name_what_they_must_not(tmp_path: Path, name: str) -> None:
    change, message = PLAIN[name]
    network().save(tmp_path / "whole.keras")
    change(tmp_path / "whole.keras")
    assert_refused(tmp_path / "whole.keras", message)


def test_a_layer_that_makes_images_huge_is_refused(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Input((8, 8, 1)), layers.ZeroPadding2D(1), layers.Flatten(), layers.Dense(1)])
    model.save(tmp_path / "a.keras")
    text = config_of(tmp_path / "a.keras")
    text = text.replace("[[1, 1], [1, 1]]", "[[1, 1], [1, 100000000]]").replace('"class_name": "Flatten"', '"class_name": "GlobalAveragePooling2D"').replace('"data_format": "channels_last"}, "registered_name": null, "build_config": {"input_shape": [null, 10, 10, 1]}', '"data_format": "channels_last"}, "registered_name": null')  # fmt: skip  # noqa: E501
    rewrite(tmp_path / "a.keras", config_json=text.encode())
    assert "declares" in refused(tmp_path / "a.keras") or "cannot build it" in refused(tmp_path / "a.keras")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    model = spiking()
    kernel, *others = model.layers[2].get_weights()
    kernel[2, 3] = value
    model.layers[2].set_weights([kernel, *others])
    save_model(model, tmp_path / "a.keras")
    name = model.layers[2].name
    assert (
        refused(tmp_path / "a.keras") == f"layer {name} has a kernel that is not a finite number ({value}); replace it"
    )


def test_saved_networks_come_back_bit_by_bit(saved: Path) -> None:
    model, found = spiking(), load_model(saved, "replace it")
    assert not found.compiled
    assert json.dumps(found.get_config()) == json.dumps(model.get_config())
    for weight, other in zip(model.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    # Keras itself reads what is written.
    for weight, other in zip(model.get_weights(), keras.models.load_model(saved).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """Flip, cut, repeat or overwrite some bytes."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(len(changed)))
        match random.integers(5):
            case 0:
                changed[place] ^= 1 << int(random.integers(8))
            case 1:
                changed[place] = int(random.choice([0, 1, 127, 128, 255]))
            case 2:
                changed[place : place + 8] = random.bytes(int(random.integers(0, 12)))
            case 3:
                del changed[place : place + int(random.integers(1, 40))]
            case 4:
                del changed[place:]
        if not changed:
            return b""
    return bytes(changed)


def sources(folder: Path) -> dict[str, Path]:
    model = network()
    save_model(spiking(), folder / "spiking.keras")
    model.save(folder / "whole.keras")
    model.save_weights(folder / "keras3.weights.h5")
    model.save(folder / "keras2.h5")
    layers = {f"{layer.name}/weight": layer.get_weights()[0].T for layer in model.layers if layer.weights}
    layers |= {f"{layer.name}/bias": layer.get_weights()[1] for layer in model.layers if layer.weights}
    np.savez(folder / "caffe.npz", **layers)
    return {path.name: path for path in sorted(folder.iterdir())}


CHECKED = (".keras", ".npz")


def fuzz(original: Path, folder: Path, count: int, seed: int) -> dict[str, int]:
    """Read `count` changed files; returns how many were refused and read. Anything else is an AssertionError."""
    data, random = original.read_bytes(), np.random.default_rng(seed)
    expected = weights_of(original)
    path = folder / f"fuzz-{original.name}"
    counts = {"refused": 0, "read": 0}
    for number in range(count):
        path.write_bytes(mutate(data, random))
        started = time.process_time()
        try:
            found = weights_of(path)
        except UserError as error:
            text = str(error)
            if not text.startswith(f"{path}: ") or not text.isprintable():
                raise AssertionError(f"{number}: {text!r}") from None
            counts["refused"] += 1
        else:
            counts["read"] += 1
            if path.suffix in CHECKED:
                for array, other in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(array, other, f"{original.name} {number}: read wrong, not refused")
        assert time.process_time() - started < 10, number
    return counts


def weights_of(path: Path) -> list[Any]:
    if path.name.endswith("spiking.keras"):
        return list(load_model(path, "replace it").get_weights())
    model = build(FC, SHAPE, 10)
    load_weights(model, path)
    return list(model.get_weights())


@pytest.mark.parametrize("name", ["spiking.keras", "whole.keras", "keras3.weights.h5", "keras2.h5", "caffe.npz"])
def test_changed_files_are_refused_or_read_right(tmp_path: Path, name: str) -> None:
    (tmp_path / "sources").mkdir()
    counts = fuzz(sources(tmp_path / "sources")[name], tmp_path, 20, seed=1)
    assert counts["refused"]


@pytest.fixture(scope="module")
def caffe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("places365", tmp_path_factory.mktemp("caffe") / "places365", width=0.0625)


@pytest.mark.parametrize("path", sorted((HOSTILE / "caffemodel").iterdir()), ids=lambda path: path.stem)
def test_hostile_prototxt_is_one_line_and_status_3(caffe: Path, tmp_path: Path, path: Path) -> None:
    done = run_caffe(path, caffe / "vgg16_places365.caffemodel", tmp_path / "out.npz")
    assert done.returncode == 3
    (text,) = done.stderr.splitlines()
    assert text.startswith("relu2snn places365: ")
    assert str(path) in text
    assert "Traceback" not in text
    if path.stem == "crash_0":
        assert "crashes OpenCV (SIGSEGV)" in text


def run_caffe(prototxt: Path, caffemodel: Path, output: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "pipeline" / "places365" / "caffe.py"
    files = [f"--prototxt={prototxt}", f"--caffemodel={caffemodel}", f"--output={output}"]
    command = [sys.executable, str(script), "weights", *files, "--size", "224", "224"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_caffe_weights_that_are_not_finite_are_named(caffe: Path, tmp_path: Path) -> None:
    data = bytearray((caffe / "vgg16_places365.caffemodel").read_bytes())
    network = cv2.dnn.readNetFromCaffe(
        str(caffe / "deploy_vgg16_places365.prototxt"), str(caffe / "vgg16_places365.caffemodel")
    )
    bias = network.getLayer(network.getLayerId("fc8a")).blobs[1]
    place = data.index(bias.tobytes())
    data[place : place + 4] = struct.pack("<f", np.nan)
    (tmp_path / "nan.caffemodel").write_bytes(data)
    done = run_caffe(caffe / "deploy_vgg16_places365.prototxt", tmp_path / "nan.caffemodel", tmp_path / "out.npz")
    assert done.returncode == 3
    assert "has a weight that is not a finite number; fetch it again" in done.stderr
    assert not (tmp_path / "out.npz").exists()


MAP = {"kind": "convolution", "inputs": [3], "filters": 2, "groups": 1, "sizes": [], "strides": [], "dilation": [],
       "spread": [], "margins": []}  # fmt: skip
WINDOW = {"sizes": [2], "strides": [2], "dilation": [1], "spread": [1], "margins": [[0, 0]]}
NEURONS = {"place": 1, "sides": [2], "maps": [{"tensor": "encoder", "map": MAP}], "populations": [{"name": "a"}],
           "t_start": 0.0, "t_min": 1.0, "t_max": 2.0}  # fmt: skip
POOLING = {
    "place": 1,
    "sides": [4, 1],
    "tensors": ["a"],
    "window": WINDOW,
    "latest": [True],
    "t_min": 1.0,
    "t_max": 2.0,
}
ENCODER = {"place": 0, "sides": [4, 2], "low": 0.0, "high": 1.0, "image": "input"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("SpikingNeurons", {**NEURONS, "sides": [0]}),
        ("SpikingNeurons", {**NEURONS, "sides": [True]}),
        ("SpikingNeurons", {**NEURONS, "sides": 3}),
        ("SpikingNeurons", {**NEURONS, "place": -1}),
        ("SpikingNeurons", {**NEURONS, "t_max": float("inf")}),
        ("SpikingNeurons", {**NEURONS, "maps": []}),
        ("SpikingNeurons", {**NEURONS, "maps": [3]}),
        ("SpikingNeurons", {**NEURONS, "maps": NEURONS["maps"] * 2}),
        ("SpikingNeurons", {**NEURONS, "maps": [{"tensor": "", "map": MAP}]}),
        ("SpikingNeurons", {**NEURONS, "populations": []}),
        ("SpikingNeurons", {**NEURONS, "populations": 3}),
        ("SpikingNeurons", {**NEURONS, "populations": [{"name": 3}]}),
        ("SpikingNeurons", {**NEURONS, "populations": [{"name": "a", "seed": 0.5}]}),
        ("SpikingNeurons", {**NEURONS, "populations": [{"name": "a", "maximum": "1"}]}),
        ("PotentialReadout", {"place": 2, "sides": [2], "maps": NEURONS["maps"], "t_start": 1.0, "t_min": 1.0}),
        ("SpikeEncoder", {**ENCODER, "low": float("nan")}),
        ("SpikeEncoder", {**ENCODER, "low": [0.0, 2.0]}),
        ("SpikeEncoder", {**ENCODER, "image": None}),
        ("UnitRangeRescaling", {**ENCODER, "high": "1"}),
        ("UnitRangeRescaling", {**ENCODER, "high": [1.0, 0.0]}),
        ("SpikePooling", {**POOLING, "window": {**WINDOW, "sizes": [-2]}}),
        ("SpikePooling", {**POOLING, "window": {**WINDOW, "margins": [[0.5, 0]]}}),
        ("SpikePooling", {**POOLING, "window": 3}),
        ("ExtremumPooling", {"place": 1, "sides": [4, 1], "tensors": [None], "window": WINDOW, "minimum": [True]}),
    ],
)
def test_layers_refuse_senseless_configs(name: str, values: dict[str, Any]) -> None:
    layer = keras.saving.get_registered_object(f"relu2snn>{name}")
    with pytest.raises(ValueError, match=r"must (be|have)|need|one for each"):
        layer(**values)
    # Keras wraps it.
    with pytest.raises(TypeError, match=r"must (be|have)|need|one for each"):
        layer.from_config(json.loads(json.dumps(values)))


def test_flags_and_ranges_are_one_for_each_channel() -> None:
    pooling, encoder = (
        keras.saving.get_registered_object(f"relu2snn>{name}") for name in ("SpikePooling", "SpikeEncoder")
    )
    with pytest.raises(ValueError, match="latest for 2 channels, but there are 1"):
        pooling(**{**POOLING, "latest": [True, False]})
    with pytest.raises(ValueError, match="low for 3 channels, but there are 2"):
        encoder(**{**ENCODER, "low": [0.0, 0.0, 0.0]})


# Networks whose parts contradict each other.


def grid() -> keras.Model:
    """A network with margins, a pool, and an array of places."""
    layers = keras.layers
    start = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(start)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Permute((2, 1, 3))(layers.Conv2D(3, 2, activation="relu", name="second")(x))
    x = layers.Dense(5, activation="relu", name="dense")(layers.Flatten()(x))
    return keras.Model(start, layers.Dense(4, activation="softmax", name="output")(x))


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("grids")
    model = grid()
    save_model(spiking_of(model), folder / "spiking.keras")
    save_model(relu_model(bounded_sums(read_keras(model))), folder / "relu.keras")
    return {name: folder / f"{name}.keras" for name in ("spiking", "relu")}


def config(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Change the description of a network: of its layers by name, and of itself."""
    found = json.loads(config_of(path))
    change({each["name"]: each["config"] for each in found["config"]["layers"]}, found["config"])
    rewrite(path, config_json=json.dumps(found).encode())


def put(layer: str, *keys: Any, value: Any) -> Callable[[Path], None]:
    """Put `value` at the place `keys` of a layer's description."""

    def change(layers: dict[str, Any], _: Any) -> None:
        item = layers[layer]
        for key in keys[:-1]:
            item = item[key]
        assert keys[-1] in item if isinstance(item, dict) else item
        item[keys[-1]] = value

    return lambda path: config(path, change)


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "reshape", "inputs": [6, 6, 2], "outputs": [6, 6, 2]}
    for _ in range(depth):
        found = {"kind": "chain", "parts": [found, {"kind": "reshape", "inputs": [6, 6, 2], "outputs": [6, 6, 2]}]}
    return found


def rewired(path: Path) -> None:
    """A layer follows another one than it names."""
    text = config_of(path)
    old, new = (json.dumps({"keras_history": [name, 0, 0]})[1:-1] for name in ("conv_pool", "encoder"))
    assert text.count(old) == 1
    rewrite(path, config_json=text.replace(old, new).encode())


def outputs(path: Path) -> None:
    config(path, lambda _, whole: whole.__setitem__("output_layers", [["output", 0, 0], ["dense", 0, 0]]))


def no_output(path: Path) -> None:
    config(path, lambda _, whole: whole.__setitem__("output_layers", ["dense", 0, 0]))


def pooled(path: Path) -> None:
    """Pools with as many places as before, so far apart that what is between them takes all memory."""
    window = {"sizes": [2, 2], "strides": [10**9, 10**9], "dilation": [1, 1], "spread": [1, 1]}
    put("conv_pool", "window", value={**window, "margins": [[10**9, 10**9], [10**9, 10**9]]})(path)


def far(path: Path) -> None:
    """A convolution in which the tensor between padding and strides takes all memory."""

    def change(layers: dict[str, Any], _: Any) -> None:
        layers["conv"]["maps"][0]["map"] |= {"margins": [[25 * 10**6] * 2] * 2, "strides": [10**7] * 2}

    config(path, change)


def one_float32(path: Path) -> None:
    put("conv_pool", "dtype", value="float32")(path)


def arrays(change: Callable[[h5py.File], Any]) -> Callable[[Path], None]:
    """Change the weights."""

    def write(path: Path) -> None:
        inner = path.with_suffix(".h5")
        with zipfile.ZipFile(path) as archive:
            inner.write_bytes(archive.read("model.weights.h5"))
        with h5py.File(inner, "r+") as file:
            change(file)
        rewrite(path, **{"model.weights.h5": inner.read_bytes()})

    return write


def indices(file: h5py.File) -> h5py.Dataset:
    """The array of places, the only one of whole numbers."""
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if getattr(item, "dtype", None) == np.int64 else None)
    (only,) = found
    return only


def moved(value: int) -> Callable[[Path], None]:
    return arrays(lambda file: indices(file).__setitem__(0, value))


NEURON_WEIGHTS = "layers/spiking_neurons/vars"


def resized(file: h5py.File) -> None:
    del file[f"{NEURON_WEIGHTS}/0"]
    file[f"{NEURON_WEIGHTS}/0"] = np.zeros((3, 3, 2, 5))


CONV = ("maps", 0, "map")
CONTRADICTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "sides": (put("conv", "sides", value=[6, 6, 10**12]), "it declares weights of"),
    "wide sides": (put("conv", "sides", value=[10**9, 10**9, 4]), "layer conv declares 4000000000000000000 values"),
    "sides beyond 64 bits": (put("conv", "sides", value=[2**40, 2**40, 4]), "declares"),
    "no sides": (put("conv", "sides", value=[]), "must be the sides of a tensor"),
    "other sides": (put("conv", "sides", value=[6, 5, 4]), "a map from (6, 6, 2) to (6, 6, 4), but"),
    "sizes": (put("conv", *CONV, "sizes", value=[2**25, 2**25]), "it declares weights of"),
    "sizes beyond 64 bits": (put("conv", *CONV, "sizes", value=[2**25, 2**25, 2**25]), "it declares weights of"),
    "another size": (put("conv", *CONV, "sizes", value=[3, 4]), ""),
    "strides": (put("conv", *CONV, "strides", value=[0, 1]), "strides=[0, 1]: must be whole numbers, at least 1"),
    "crop": (put("conv", *CONV, "margins", value=[[-9, 0], [0, 0]]), "has no place in (6, 6, 2)"),
    "other margins": (put("conv", *CONV, "margins", value=[[0, 0], [0, 0]]), "a map from (6, 6, 2) to (4, 4, 4)"),
    "wide margins": (put("conv", *CONV, "margins", value=[[0, 2**26 - 1], [0, 2**26 - 1]]), "more than 67108864"),
    "endless margins": (put("conv", *CONV, "margins", value=[[0, 10**30], [0, 0]]), "must be pairs of whole numbers"),
    "no margins": (put("conv", *CONV, "margins", value="none"), "must be pairs of whole numbers"),
    "spread": (put("conv", *CONV, "spread", value=[10**7, 10**7]), "more than 67108864 elements"),
    "far apart": (far, "more than 67108864 elements"),
    "groups": (put("conv", *CONV, "groups", value=7), ""),
    "kind": (put("conv", *CONV, "kind", value="eval"), "no linear map of the kind 'eval'"),
    "no map": (put("conv", *CONV, value=[1, 2]), "no linear map of the kind None"),
    "nested": (put("conv", *CONV, value=nested(60)), "maps in maps without end"),
    "nested without end": (put("conv", *CONV, value=nested(300)), "recursion"),
    "half a sum": (put("conv", *CONV, value={"kind": "sum", "parts": [nested(0)]}), "a sum of"),
    "a tensor renamed": (put("output", "maps", 0, "tensor", value="other"), "layer 'output' does not follow 'other'"),
    "neurons renamed": (put("conv", "populations", 0, "name", value="other"),
                        "layer 'conv_pool' does not follow 'conv'"),
    "two of one name": (put("output", "name", value="dense"), ""),
    "two tensors of one name": (put("second", "populations", 0, "name", value="conv"),
                                "layer 'second': a tensor 'conv' is made already"),
    "another input": (put("encoder", "image", value="x"), "layer 'encoder' does not follow the input 'x'"),
    "other wires": (rewired, "not a readable"),
    "other outputs": (outputs, "its outputs are those of output, dense, not of output"),
    "no output": (no_output, "it needs a PotentialReadout layer"),
    "places": (put("dense", "place", value=1), "does not follow"),
    "early": (put("output", "t_min", value=0.5), "need t_start < t_min"),
    "far pools": (pooled, "more than 67108864 elements"),
    "other pools": (put("conv_pool", "window", "sizes", value=[3, 3]),
                    "its window over 'conv' (6, 6, 4) does not give"),
    "pools of a rank": (put("conv_pool", "window", value=WINDOW), "its window over 'conv' (6, 6, 4) does not give"),
    "flags": (put("conv_pool", "latest", value=[False] * 3), "latest for 3 channels, but there are 4"),
    "precisions": (one_float32, "its layers compute in float32 and float64: must be float64 or float32 alone"),
    "an index too high": (moved(10**6), "an index from"),
    "an index too low": (moved(-2), "an index from -2"),
    "an array missing": (arrays(lambda file: file.__delitem__(f"{NEURON_WEIGHTS}/2")), "arrays of 6 for conv"),
    "an array too many": (arrays(lambda file: file.__setitem__(f"{NEURON_WEIGHTS}/6", np.zeros(4))),
                          "is one array too many for layer conv"),
    "an array of another shape": (arrays(resized), ""),
    "arrays renamed": (arrays(lambda file: file.move("layers/spiking_neurons", "layers/spiking_neutrons")),
                       "0 arrays of 6 for conv"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_spiking_networks_that_contradict_themselves(grids: dict[str, Path], tmp_path: Path, name: str) -> None:
    path = tmp_path / "spiking.keras"
    path.write_bytes(grids["spiking"].read_bytes())
    change, message = CONTRADICTIONS[name]
    change(path)
    assert_refused(path, message)


RELU = {
    "renamed": (put("output", "maps", 0, "tensor", value="other"), "layer 'output' does not follow 'other'"),
    "sides": (put("conv", "sides", value=[6, 5, 4]), "a map from (6, 6, 2) to (6, 6, 4), but"),
    "range": (put("unit_range", "low", value=float("nan")), "low=nan: must be a finite number"),
    "another input": (put("unit_range", "image", value="x"), "layer 'unit_range' does not follow the input 'x'"),
    "offsets": (put("conv", "populations", 0, "offset_map", value=True), ""),
    "other outputs": (outputs, "its outputs are those of output, dense, not of output"),
    "no output": (no_output, "its outputs are those of dense, not of read-outs"),
    "pools": (pooled, "more than 67108864 elements"),
    "index": (moved(-2), "an index from -2"),
}


@pytest.mark.parametrize("name", RELU)
def test_preprocessed_networks_that_contradict_themselves(grids: dict[str, Path], tmp_path: Path, name: str) -> None:
    path = tmp_path / "relu.keras"
    path.write_bytes(grids["relu"].read_bytes())
    change, message = RELU[name]
    change(path)
    assert_refused(path, message)


def test_branches_that_are_swapped_are_named(tmp_path: Path) -> None:
    """Of one shape, so that nothing but the names of their tensors tells them apart."""
    layers = keras.layers
    start = keras.Input((5,))
    both = layers.Concatenate()([layers.Dense(3, activation="relu", name=name)(start) for name in ("left", "right")])
    save_model(spiking_of(keras.Model(start, layers.Dense(2, name="output")(both))), tmp_path / "a.keras")
    assert opened(tmp_path / "a.keras").built
    text = config_of(tmp_path / "a.keras")
    left, right = (json.dumps({"keras_history": [name, 0, 0]})[1:-1] for name in ("left", "right"))
    assert (text.count(left), text.count(right)) == (1, 1)
    swapped = text.replace(left, "?").replace(right, left).replace("?", right)
    rewrite(tmp_path / "a.keras", config_json=swapped.encode())
    assert "layer 'output' does not follow '" in refused(tmp_path / "a.keras")


def test_networks_that_fit_together_are_read(grids: dict[str, Path]) -> None:
    for path in grids.values():
        assert opened(path).built
