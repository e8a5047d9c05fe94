"""Files of the user's that others replace while a stage reads them: what was read may be half of each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import drop_images
from smoke_data import make
from test_custom import composed, files, images

from relu2snn.config import Experiment, compose_experiment, compose_suite, from_slice
from relu2snn.config.places import ENGINE_VARIABLE
from relu2snn.config.shaping import job_slice
from relu2snn.errors import UserError
from relu2snn.networks import own
from relu2snn.networks.build import build
from relu2snn.stages import custom_data, data, places365_weights, weights

Given = tuple[Any, Path]


def idx_files(folder: Path) -> Given:
    drop_images(folder / "raw")
    ours = [f"outputs={folder}/outputs", f"dataset.source.directory={folder}/raw"]
    counts = ["dataset.source.train_images=300", "dataset.source.test_images=60"]
    return compose_experiment("fmnist_fc", compose_suite("paper"), [*ours, *counts]), folder / "raw" / (
        "t10k-labels-idx1-ubyte"
    )


def own_images(folder: Path) -> Given:
    return composed(folder, files(folder, x_test=images())), folder / "my.npz"


def own_network(folder: Path) -> Given:
    return composed(folder, files(folder, x_test=images())), folder / "my.keras"


def dropped_weights(folder: Path) -> Given:
    config = compose_experiment(
        "fmnist_fc", compose_suite("paper"), [f"outputs={folder}/outputs", f"weights.root={folder}/models"]
    )
    file = folder / "models" / "fMNIST" / "FC" / "fmnist_fc_relu_original.keras"
    file.parent.mkdir(parents=True)
    build(config.model, config.dataset.image_shape, 10).save(file)
    return config, file


def caffe_files(folder: Path) -> Experiment:
    make("places365", folder / "places365")
    names = {"prototxt": "deploy_vgg16_places365.prototxt", "caffemodel": "vgg16_places365.caffemodel"}
    files = [f"weights.{key}={folder}/places365/{name}" for key, name in names.items()]
    return compose_experiment("places365_vgg", compose_suite("smoke"), [f"outputs={folder}/outputs", *files])


def caffes_weights(folder: Path) -> Given:
    config = caffe_files(folder)
    return config, Path(str(config.weights.caffemodel))


def caffes_layers(folder: Path) -> Given:
    config = caffe_files(folder)
    return config, Path(str(config.weights.prototxt))


CASES: list[tuple[Callable[[Path], Given], Any, Any, str, str]] = [
    (idx_files, data, data, "load_arrays", "source.json"),
    (own_images, custom_data, custom_data, "load_own", "source.json"),
    (own_network, weights, own, "load_own", "source.json"),
    (dropped_weights, weights, weights, "digest_of", "source.json"),
    (caffes_weights, places365_weights, places365_weights, "run_script", "places_vgg_relu_original.npz"),
    (caffes_layers, places365_weights, places365_weights, "run_script", "places_vgg_relu_original.npz"),
]


@pytest.mark.parametrize(
    ("given", "stage", "where", "reader", "result"), CASES, ids=[each[0].__name__ for each in CASES]
)
def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: Callable[[Path], Given],
    stage: Any,
    where: Any,
    reader: str,
    result: str,
) -> None:
    whole, file = given(tmp_path)
    # Which engine runs it is the call's to say, and in no slice.
    monkeypatch.setenv(ENGINE_VARIABLE, json.dumps({"": "none"}))
    name = stage.__name__.rpartition(".")[2]
    config = from_slice(job_slice(whole, name))
    read = getattr(where, reader)

    def read_and_replaced(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        # By one of the same size and date.
        shutil.copy2(file, tmp_path / "other")
        (tmp_path / "other").replace(file)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(where, reader, read_and_replaced)
        with pytest.raises(UserError) as caught:
            stage.run(config)
    assert str(caught.value) == f"{file}: changed while it was read; run it again when the file is whole"
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    stage.run(config)
    assert list((tmp_path / "outputs").rglob(result))
