"""docs/data.md: what it says to type is a configuration, on the images that ship."""

import re
import shutil
from pathlib import Path

import pytest
from runs import ROOT

from relu2snn.config import compose, compose_experiment, compose_suite, split_overrides
from relu2snn.config.schema import Preprocess
from relu2snn.datasets import load_arrays
from relu2snn.datasets.dataset import preprocessed

PAGE = (ROOT / "docs" / "data.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_a_data_set_and_an_experiment_of_ones_own_are_as_the_page_has_them(tmp_path: Path, monkeypatch) -> None:
    dataset, experiment = blocks("yaml")
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "dataset" / "mine.yaml").write_text(dataset)
    (conf / "experiment" / "mine_fc.yaml").write_text(experiment)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    monkeypatch.setattr(compose, "conf", lambda: conf)
    monkeypatch.chdir(tmp_path)
    config = compose_experiment("mine_fc", compose_suite("paper"))
    assert (config.dataset.name, config.model.name, config.train.epochs) == ("mine", "fc", 5)
    (code,) = blocks("python")
    exec(compile(code, "data.md", "exec"), {})
    arrays = load_arrays(config.dataset.source, "mine", config.dataset.image_shape, config.dataset.classes)
    assert (arrays.train_images.shape, arrays.test_images.shape) == ((500, 28, 28, 1), (100, 28, 28, 1))
    assert len(set(arrays.train_labels.tolist())) == 10
    assert 0 < preprocessed(arrays.test_images, Preprocess(0, 255, 0, 1), "test", 0).max() <= 1


@pytest.mark.parametrize("overrides", re.findall(r'overrides="([^"]+)"', PAGE))
def test_what_the_page_says_to_type_is_legal(overrides: str, tmp_path: Path, monkeypatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "dataset" / "mine.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "my.npz").touch()
    monkeypatch.setattr(compose, "conf", lambda: conf)
    monkeypatch.chdir(tmp_path)
    name = "places365_vgg" if "part_images" in overrides else "fmnist_lenet"
    assert compose_experiment(name, compose_suite("paper"), split_overrides(overrides))
