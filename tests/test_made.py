"""Stamps: what made a file is in it, damage is noticed, and files that do not belong together are refused."""

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from relu2snn.errors import UserError
from relu2snn.made import Job, load_json, load_npz

VALUES = {"name": "a", "phase2.zeta": 0.5, "model.blocks": [[1, 2], [3]], "phase2.window": "margin"}
RESULT = {"accuracy": 0.1 + 0.2, "layers": ["one", "two"], "correct": None, "seconds": 3.5}
LABELS = {"labels": np.arange(5), "names": np.array(["x", "yz"]), "scalar": np.float32(2.5)}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])


@pytest.fixture
def files(tmp_path: Path, network: keras.Model) -> dict[str, Path]:
    """A file of every kind, by one job."""
    job = Job("one", VALUES)
    found = {"json": tmp_path / "result.json", "npz": tmp_path / "labels.npz", "keras": tmp_path / "net.keras"}
    job.write_json(found["json"], RESULT)
    job.write_npz(found["npz"], LABELS)
    job.write_model(found["keras"], network)
    return found


def read(path: Path, job: Job, stage: str = "one") -> Any:
    """What is in a file, as something to be compared, and its stamp."""
    if path.suffix == ".json":
        return job.read_json(path, stage), load_json(path)[1]
    if path.suffix == ".npz":
        return {key: (value.dtype, value.tolist()) for key, value in job.read_npz(path, stage).items()}, load_npz(path)[
            1
        ]
    stamp = job.read_model(path, stage)
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in ("config.json", "model.weights.h5")], stamp


def refused(path: Path, job: Job | None = None) -> str:
    """The one line that says why a file is refused."""
    with pytest.raises(UserError) as error:
        read(path, job or Job("two", {}))
    text = str(error.value)
    assert text.startswith(f"{path}: "), text
    assert text.isprintable(), text
    return text


def test_what_was_written_is_read_and_says_what_made_it(files: dict[str, Path]) -> None:
    job = Job("two", {"phase2.zeta": 0.5, "other": 1})
    value, stamp = read(files["json"], job)
    assert value == RESULT
    assert (stamp.stage, stamp.values, stamp.inputs) == ("one", VALUES, {})
    arrays, stamp = read(files["npz"], job)
    assert arrays == {key: (np.asarray(each).dtype, np.asarray(each).tolist()) for key, each in LABELS.items()}
    assert set(stamp.inputs) == {"one/result.json"}
    _, stamp = read(files["keras"], job)
    assert set(stamp.inputs) == {"one/result.json", "one/labels.npz"}
    assert set(job.inputs) == {"one/result.json", "one/labels.npz", "one/net.keras"}
    assert job.values == {**VALUES, "other": 1}


def test_plain_keras_and_numpy_read_the_files_too(files: dict[str, Path], network: keras.Model) -> None:
    loaded = keras.saving.load_model(files["keras"])
    np.testing.assert_array_equal(loaded.get_weights()[0], network.get_weights()[0])
    with np.load(files["npz"], allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2, 3, 4]
        assert json.loads(str(arrays["made"]))["values"] == VALUES
    assert json.loads(files["json"].read_text())["made"]["values"]["phase2.zeta"] == 0.5


def test_reading_leaves_nothing_behind(files: dict[str, Path], tmp_path: Path) -> None:
    for path in files.values():
        read(path, Job("two", {}))
    assert set(tmp_path.iterdir()) == set(files.values())


@pytest.mark.parametrize("kind", ["json", "npz", "keras"])
def test_a_file_of_another_configuration_is_refused_with_key_and_values(files: dict[str, Path], kind: str) -> None:
    text = refused(files[kind], Job("two", {"phase2.zeta": 0.3}))
    assert text == (
        f"{files[kind]}: made with phase2.zeta=0.5, but this run has phase2.zeta=0.3; "
        "run the stage one again (snakemake: --forcerun one)"
    )


@pytest.mark.parametrize("kind", ["json", "npz", "keras"])
def test_a_file_of_another_stage_is_refused(files: dict[str, Path], kind: str) -> None:
    with pytest.raises(UserError, match="a file of the stage one, where one of phase1 should be"):
        read(files[kind], Job("three", {}), "phase1")


def chain(folder: Path, **values: Any) -> tuple[Path, Path, Path]:
    """Three files, each made from the one before by a job of its own."""
    folder.mkdir(parents=True)
    found = folder / "a.json", folder / "b.npz", folder / "c.json"
    Job("first", values).write_json(found[0], {"value": values})
    second = Job("second", {})
    second.read_json(found[0], "first")
    second.write_npz(found[1], {"labels": np.arange(2)})
    third = Job("third", {})
    third.read_npz(found[1], "second")
    third.write_json(found[2], {"value": 1})
    return found


def test_values_and_digests_are_handed_down_the_chain(tmp_path: Path) -> None:
    *_, last = chain(tmp_path / "one", zeta=1)
    stamp = load_json(last)[1]
    assert stamp.values == {"zeta": 1}
    assert set(stamp.inputs) == {"first/a.json", "second/b.npz"}
    with pytest.raises(UserError, match="made with zeta=1, but this run has zeta=2"):
        Job("any", {"zeta": 2}).read_json(last, "third")


def test_files_of_two_runs_are_not_combined_though_they_share_no_value_with_the_reader(tmp_path: Path) -> None:
    one, other = chain(tmp_path / "one", zeta=1, one=1), chain(tmp_path / "two", zeta=1, two=2)
    job = Job("any", {})
    job.read_npz(one[1], "second")
    with pytest.raises(UserError) as error:
        job.read_json(other[2], "third")
    text = str(error.value)
    assert text.startswith(f"{other[2]}: of another first/a.json (")
    assert f"than {one[1]} (" in text
    assert text.endswith("run the stage first again (snakemake: --forcerun first)")


def test_a_file_made_again_alike_is_the_same_file_and_what_it_took_is_no_part_of_it(tmp_path: Path) -> None:
    for name, seconds in (("one", 1.0), ("two", 2.0)):
        Job("first", {"zeta": 1}).write_json(tmp_path / name / "a.json", {"value": 1, "seconds": seconds, "file": name})
    first, second = (load_json(tmp_path / name / "a.json")[1] for name in ("one", "two"))
    assert first.identity == second.identity
    Job("first", {"zeta": 2}).write_json(tmp_path / "three.json", {"value": 1, "seconds": 1.0, "file": "one"})
    assert load_json(tmp_path / "three.json")[1].identity != first.identity


def test_a_part_is_not_taken_for_another(tmp_path: Path) -> None:
    Job("first", {}).write_json(tmp_path / "0.json", {"value": 1}, part=0)
    (tmp_path / "0.json").rename(tmp_path / "1.json")
    with pytest.raises(UserError, match="made for part 0 instead of 1; run the stage first again"):
        Job("second", {}).read_json(tmp_path / "1.json", "first", of={"part": 1})


def flips(data: bytes, most: int) -> Any:
    """`data` with one bit flipped, for every bit, or for `most` of them."""
    bits = range(8 * len(data))
    for bit in bits if len(bits) <= most else random.Random(0).sample(bits, most):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.parametrize(("kind", "most"), [("json", 4000), ("npz", 4000), ("keras", 1000)])
def test_a_flipped_bit_is_noticed_or_changes_nothing(files: dict[str, Path], kind: str, most: int) -> None:
    path = files[kind]
    expected, data, lines = read(path, Job("two", {})), path.read_bytes(), []
    for damaged in flips(data, most):
        path.write_bytes(damaged)
        try:
            assert read(path, Job("two", {})) == expected
        except UserError as error:
            lines.append(str(error))
    assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines)
    # Bits of the times and modes in a zip's directory matter to nobody.
    assert len(lines) > most / 2


@pytest.mark.parametrize("kind", ["json", "npz", "keras"])
def test_a_cut_an_empty_and_a_missing_file_are_one_line(files: dict[str, Path], kind: str) -> None:
    path = files[kind]
    data = path.read_bytes()
    # The last byte of a JSON file is a line's end.
    for length in (0, 1, len(data) // 2, len(data) - 2):
        path.write_bytes(data[:length])
        assert "delete it and run the workflow again" in refused(path)
    path.unlink()
    assert "no such file; run the stage that makes it first" in refused(path)
    path.mkdir()
    refused(path)


TEXTS = {
    "not UTF-8": b'{"made": "\xff"}',
    "not an object": b"[1]",
    "no stamp": b'{"zeta": 0.5}',
    "a stamp that is none": b'{"made": 1}',
    "another format": b'{"made": {"format": 0}}',
    "an endless list": b"[" * 100_000,
    "deep brackets": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "many digits": b'{"made": ' + b"9" * 5000 + b"}",
    "NaN": b'{"made": {"format": 1}, "a": NaN}',
    "wrong kinds": b'{"made": {"format": 1, "stage": 1, "of": [], "values": 0, "inputs": "", "content": null}}',
    "wrong inputs": b'{"made": {"format": 1, "stage": "", "of": {}, "values": {}, "inputs": {"a": 1}, "content": ""}}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_damaged_or_missing_stamp_is_one_line(files: dict[str, Path], tmp_path: Path, text: bytes) -> None:
    files["json"].write_bytes(text)
    refused(files["json"])
    with zipfile.ZipFile(files["keras"]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(files["keras"], "w") as archive:
        for name, data in {**members, "metadata.json": text}.items():
            archive.writestr(name, data)
    refused(files["keras"])


def test_values_edited_by_hand_are_noticed(files: dict[str, Path], tmp_path: Path) -> None:
    files["json"].write_text(files["json"].read_text().replace('"phase2.zeta": 0.5', '"phase2.zeta": 0.3'))
    assert "its digest is another one" in refused(files["json"])
    with np.load(files["npz"]) as arrays:
        text = str(arrays["made"]).replace('"phase2.zeta": 0.5', '"phase2.zeta": 0.3')
        np.savez(tmp_path / "edited.npz", **{**arrays, "made": np.array(text)})
    assert "its digest is another one" in refused(tmp_path / "edited.npz")


def test_files_of_nobody_are_refused(tmp_path: Path, network: keras.Model) -> None:
    np.savez(tmp_path / "labels.npz", labels=np.arange(3))
    network.save(tmp_path / "net.keras")
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    for name in ("labels.npz", "net.keras", "result.json"):
        assert "nothing in it says what made it" in refused(tmp_path / name)


def test_a_network_with_other_weights_under_the_old_stamp_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    Job("one", VALUES).write_model(tmp_path / "other.keras", other)
    members = {}
    for path, names in (
        (files["keras"], ["metadata.json", "config.json"]),
        (tmp_path / "other.keras", ["model.weights.h5"]),
    ):
        with zipfile.ZipFile(path) as archive:
            members |= {name: archive.read(name) for name in names}
    with zipfile.ZipFile(files["keras"], "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert "its network is not what its stamp says" in refused(files["keras"])


def test_a_network_that_unpacks_to_more_than_the_file_has_is_refused(files: dict[str, Path]) -> None:
    with zipfile.ZipFile(files["keras"], "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1 << 20))
    refused(files["keras"])


def test_an_array_that_promises_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    head = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    data = b"\x93NUMPY\x01\x00" + (len(head) + 1).to_bytes(2, "little") + head.encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "labels.npz", "w") as archive:
        archive.writestr("labels.npy", data)
    assert "header does not fit its data" in refused(tmp_path / "labels.npz")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_can_not_hold_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Job("one", {}).write_json(tmp_path / "result.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_a_copy_is_the_network_under_a_stamp_of_its_own(files: dict[str, Path], tmp_path: Path) -> None:
    job, copy = Job("two", {}), tmp_path / "copy.keras"
    content = job.copy_model(files["keras"], copy, "one")
    found, stamp = read(copy, Job("three", {}), "two")
    assert found == read(files["keras"], Job("three", {}))[0]
    assert (stamp.stage, stamp.content, stamp.values) == ("two", content, VALUES)
    assert set(tmp_path.iterdir()) == {*files.values(), copy}
    keras.saving.load_model(copy)
