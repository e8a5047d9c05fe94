"""Files in S3 and jobs in pods: moto's S3 server, Snakemake's own plugins, a fake cluster (fake_kubernetes.py)."""

import base64
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import yaml
from fake_kubernetes import FakeKubernetes, serving
from moto.server import ThreadedMotoServer
from runs import ROOT, environment, jobs

from relu2snn.config import Paths, compose_experiment, compose_suite
from relu2snn.config.storage import image_files

BUCKET, FOLDER = "bucket", "some/where"
PREFIX = f"s3://{BUCKET}/{FOLDER}"
OPTIONS = ["--config", "suite=smoke", "experiments=mnist_fc", "overrides=train.epochs=1"]
SECRET = "the secret key"
PROFILE = ROOT / "pipeline" / "profiles" / "kubernetes" / "config.yaml"
RUN = "outputs/smoke/mnist_fc"
VARIANT = "train.epochs=1"


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """An S3 server, and the variables by which the plugin finds it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY": "some key", "SECRET_KEY": SECRET}
    yield {f"SNAKEMAKE_STORAGE_S3_{key}": value for key, value in values.items()}
    server.stop()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout to start from: what git has of it goes to the pods."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, names):
        source, target = ROOT / os.fsdecode(name), folder / os.fsdecode(name)
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def snakemake(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Snakemake in a checkout, with its own package."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder / "src")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def image(folder: Path) -> dict[str, str]:
    """The environment that the image gives a pod; its pip has the storage plugin in a folder, this one does nothing."""
    folder.mkdir()
    (folder / "pip").write_text("#!/bin/sh\n# A stand-in: the plugin is installed here.\n")
    (folder / "pip").chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])}


def stored(storage: dict[str, str], name: str) -> bytes:
    client = boto3.client(
        "s3",
        endpoint_url=storage["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    return client.get_object(Bucket=BUCKET, Key=f"{FOLDER}/{name}")["Body"].read()


def plain(value: Any) -> Any:
    """A result without what differs from run to run: how long it took, and digests of files that hold dates."""
    kept = json.loads(value)
    return {key: kept[key] for key in kept if key not in ("seconds", "made")}


@pytest.mark.workflow
def test_a_run_in_pods_goes_on_here_and_ends_with_what_a_run_without_a_storage_makes(
    checkout: Path, storage: dict[str, str], tmp_path: Path
) -> None:
    cluster = FakeKubernetes(tmp_path / "pods", image(tmp_path / "image"))
    gpu = ["train:gpu=1", "train:gpu_manufacturer=nvidia", "train:scale=0"]
    volume, account = (
        ["--kubernetes-persistent-volumes", "shared:/data"],
        ["--kubernetes-service-account-name", "runner"],
    )
    given = ["--profile", str(PROFILE.parent.relative_to(ROOT)), "--default-storage-prefix", PREFIX, *OPTIONS]
    with serving(cluster, tmp_path / "kubeconfig"):
        done = snakemake(
            checkout,
            *given,
            *("--until", "gather", "--seconds-between-status-checks", "1", "--retries", "0", "--set-resources", *gpu),
            *volume,
            *account,
            KUBECONFIG=str(tmp_path / "kubeconfig"),
            **storage,
        )
    assert done.returncode == 0, (done.stderr[-3000:], *cluster.logs.values())
    assert set(cluster.deleted) >= {*cluster.jobs, *cluster.secrets}

    for name, job in cluster.jobs.items():
        pod, container = job["spec"]["template"]["spec"], cluster.container(name)
        assert container["image"] == yaml.safe_load(PROFILE.read_text())["container-image"]
        assert pod["serviceAccountName"] == "runner"
        assert {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}} in pod["volumes"]
        assert {"name": "shared", "mountPath": "/data"} in container["volumeMounts"]
        # No key is in what anybody may read; the pod has it from the secret.
        assert SECRET not in json.dumps(job) + done.stdout + done.stderr
        assert {each["name"] for each in container["env"]} >= set(storage)
        requests = container["resources"]["requests"]
        assert requests["cpu"].endswith("m")
        assert requests["memory"].endswith("M")
    (secret,) = cluster.secrets.values()
    assert base64.b64decode(secret["data"]["snakemake_storage_s3_secret_key"]).decode() == SECRET
    (training,) = (name for name in cluster.jobs if "--allowed-rules train" in cluster.container(name)["args"][1])
    resources = cluster.container(training)["resources"]
    # Kubernetes takes a GPU only as a limit.
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    (toleration,) = cluster.jobs[training]["spec"]["template"]["spec"]["tolerations"]
    assert toleration["key"] == "nvidia.com/gpu"

    local = ["--cores", "2", "--default-storage-provider", "s3", "--default-storage-prefix", PREFIX]
    rest = snakemake(checkout, *local, "--local-storage-prefix", "stored", *OPTIONS, **storage)
    assert rest.returncode == 0, rest.stderr[-3000:]
    assert not {"train", "phase1", "phase2"} & set(jobs(rest.stdout + rest.stderr))

    alone = tmp_path / "alone"
    (alone / "data").mkdir(parents=True)
    (alone / "data" / "sample").symlink_to(checkout / "data" / "sample")
    expected = snakemake(
        alone, "--snakefile", str(checkout / "Snakefile"), "--cores", "2", *OPTIONS, PYTHONPATH=str(checkout / "src")
    )
    assert expected.returncode == 0, expected.stderr[-3000:]
    assert stored(storage, "outputs/smoke/results.csv") == (alone / "outputs/smoke/results.csv").read_bytes()
    (row,) = csv.DictReader(io.StringIO((alone / "outputs/smoke/results.csv").read_text()))
    assert row["exact"] == "True"
    for stage in ("phase1", "phase2"):
        name = f"{RUN}/{stage}/{VARIANT}/result.json"
        assert plain(stored(storage, name)) == plain((alone / name).read_text())
        name = f"{RUN}/{stage}/{VARIANT}/predictions.npz"
        with np.load(io.BytesIO(stored(storage, name))) as found, np.load(alone / name) as mine:
            np.testing.assert_array_equal(found["labels"], mine["labels"])
    for name in ("raster", "exactness"):
        file = f"{RUN}/figures/{VARIANT}/{name}.png"
        assert stored(storage, file) == (alone / file).read_bytes()
    # What is logged stays on this machine.
    assert (checkout / "outputs" / "mlflow.db").exists()


def refusal(folder: Path, *arguments: str, **variables: str) -> str:
    done = snakemake(folder, "-n", "--cores", "1", *arguments, **variables)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("relu2snn: ")]
    return line


@pytest.mark.workflow
def test_what_a_storage_has_no_place_for_is_one_line(checkout: Path, storage: dict[str, str], tmp_path: Path) -> None:
    given = ["--snakefile", str(checkout / "Snakefile"), "--default-storage-provider", "s3"]
    given += ["--default-storage-prefix", PREFIX]
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "results.csv").touch()
    (tmp_path / "own.keras").touch()
    mine = {**storage, "PYTHONPATH": str(checkout / "src")}
    line = refusal(tmp_path, *given, *OPTIONS, **mine)
    assert line.startswith("relu2snn: outputs=outputs: files of this machine stand where copies of the storage's are")
    own = ["--config", "experiments=mnist_fc", "overrides=weights.file=own.keras"]
    line = refusal(tmp_path, *given, *own, **mine)
    assert "override weights.file: the file is not in the storage, which every job reads from; run it without" in line
    line = refusal(tmp_path, *given, "--config", "suite=smoke", "experiments=pass_vgg", **mine)
    assert "dataset.name=pass_smoke: its photographs are read by all jobs and are not in the storage" in line
    line = refusal(tmp_path, *given, *OPTIONS, **storage, PYTHONPATH=str(ROOT / "src"))
    assert f"{ROOT / 'src' / 'relu2snn'}: this package is not the one beside the Snakefile, in {checkout}; " in line


def test_a_part_of_photographs_brings_its_own_images_alone() -> None:
    config = compose_experiment("places365_vgg", compose_suite("smoke"))
    folder = Paths.of(config).dataset
    labels = f"{folder}/test_labels.npy"
    assert image_files(config, 2) == [labels, f"{folder}/parts/2.npy"]
    # After those of the test images the calibration images.
    assert image_files(config) == [labels, *(f"{folder}/parts/{part}.npy" for part in range(4))]


def test_the_image_has_the_storage_plugin_of_the_lock_in_its_folder_and_no_file_of_the_user() -> None:
    """What every pod installs again is cut out of the lock by the Dockerfile's own line."""
    text = (ROOT / "pipeline" / "container" / "Dockerfile").read_text()
    (cut,) = re.findall(r"(sed .*) kubernetes.txt > plugin.txt", text)
    lock = ROOT / "requirements" / "kubernetes.txt"
    found = subprocess.run([*shlex.split(cut), str(lock)], check=True, capture_output=True, text=True).stdout
    first, *hashes = found.splitlines()
    assert first.startswith("snakemake-storage-plugin-s3==")
    assert hashes
    assert all(line.strip().startswith("--hash=") for line in hashes)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert all((ROOT / name).exists() for name in sent)
    assert not {"data", "outputs", ".git"} & sent
