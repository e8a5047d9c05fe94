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
from relu2snn.errors import UserError
from relu2snn.mapping import read, scale, to_spiking
from relu2snn.networks.build import build
from relu2snn.networks.weights import load_weights
from relu2snn.saved.child import ChildError, child
from relu2snn.saved.hdf5 import read_hdf5
from relu2snn.saved.keras_files import load_model, save_model

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = Path(__file__).parent / "hostile"
SHAPE = (8, 8, 1)
FC = Model(name="fc", family="fc", width=1.0, blocks=[], dense=[12], batch_norm="none")


def network() -> keras.Model:
    model = build(FC, SHAPE, 10)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    return model


def spiking() -> keras.Model:
    return to_spiking(scale(read(network())), [2.0], 0.5)


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
        return line(lambda: load_model(path, "replace it"), path)
    return line(lambda: load_weights(network(), path), path)


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
    "lambda": (replaced('"class_name": "Flatten"', LAMBDA), "it holds a Lambda layer, which may run any code"),
    "module": (replaced('"module": "keras.layers", "class_name": "Flatten"', '"module": "os", "class_name": "system"'),
               "it names os.system, which is no layer of Keras"),
    "gadget": (replaced('"data_format": "channels_last"', f'"data_format": {FUNCTION}'),
               "it names keras.utils.get_file, which is no layer of Keras"),
    "unknown": (replaced('"class_name": "Flatten"', '"class_name": "Flutten"'), "cannot build it"),
    "our unknown": (replaced("relu2snn>SpikingDense", "relu2snn>SpikingDance"), "cannot build it"),
    "declared": (replaced('"units": 12', '"units": 1000000000000'), "it declares weights of "),
    "units": (replaced('"units": 12', '"units": -3'), "units=-3: must be a whole number, at least 1"),
    "half a unit": (replaced('"units": 12', '"units": 12.5'), "units=12.5: must be a whole number"),
    "digits": (replaced('"units": 12', f'"units": 1{"0" * 400}'), "must be a whole number"),
    "window": (replaced('"t_min": 1.0', '"t_min": NaN'), "t_min=nan: must be a finite number"),
    "no window": (replaced('"t_start": 0.0', '"t_start": 5e300'), "need t_start < t_min < t_max"),
    "noise": (replaced('"noise": 0.0', '"noise": Infinity'), "noise=inf: must be a finite number"),
    "seed": (replaced('"seed": ', '"seed": -'), "must not be negative"),
    "range": (replaced('"low": 0.0', '"low": 1.0'), "low=1.0, high=1.0: need low < high"),
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


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", KERAS)
def test_keras_files_that_declare_or_name_what_they_must_not(copy: Path, name: str) -> None:
    change, message = KERAS[name]
    change(copy)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refused(copy)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


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
    kernel, *others = model.layers[3].get_weights()
    kernel[2, 3] = value
    model.layers[3].set_weights([kernel, *others])
    save_model(model, tmp_path / "a.keras")
    name = model.layers[3].name
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


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("SpikingDense", {"units": 0, "t_start": 0.0, "t_min": 1.0, "t_max": 2.0}),
        ("SpikingDense", {"units": True, "t_start": 0.0, "t_min": 1.0, "t_max": 2.0}),
        ("SpikingDense", {"units": 2, "t_start": 0.0, "t_min": 1.0, "t_max": float("inf")}),
        ("SpikingConv2D", {"filters": 2, "kernel_size": [3, 0], "t_start": 0.0, "t_min": 1.0, "t_max": 2.0}),
        ("SpikingConv2D", {"filters": 2, "kernel_size": 3, "t_start": 0.0, "t_min": 1.0, "t_max": 2.0}),
        ("SpikingConv2D", {"filters": 2, "kernel_size": [3, 3], "padding": "full", "t_start": 0.0, "t_min": 1.0,
                           "t_max": 2.0}),
        ("PotentialReadout", {"units": 2, "t_start": 1.0, "t_min": 1.0}),
        ("SpikeEncoder", {"low": float("nan"), "high": 1.0}),
        ("ExtremumPooling2D", {"pool_size": [2, -2], "strides": [2, 2], "padding": "valid", "minimum": [True]}),
    ],
)  # fmt: skip
def test_layers_refuse_senseless_configs(name: str, values: dict[str, Any]) -> None:
    layer = keras.saving.get_registered_object(f"relu2snn>{name}")
    with pytest.raises(ValueError, match=r"must be|need"):
        layer(**values)
    # Keras wraps it.
    with pytest.raises(TypeError, match=r"must be|need"):
        layer.from_config(json.loads(json.dumps(values)))


def test_layers_refuse_inputs_that_leave_no_outputs() -> None:
    pooling = keras.saving.get_registered_object("relu2snn>ExtremumPooling2D")
    conv = keras.saving.get_registered_object("relu2snn>SpikingConv2D")
    layer = conv(2, (5, 5), t_start=0.0, t_min=1.0, t_max=2.0)
    with pytest.raises(ValueError, match="needs 3 sides, at least 1"):
        layer.build((None, 4, 8, 1))
    with pytest.raises(ValueError, match="minimum for 1 channels, but the input has 3"):
        pooling((2, 2), (2, 2), "valid", [True]).build((None, 4, 4, 3))
