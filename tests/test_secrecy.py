"""Passwords and tokens become stars wherever they stand, and nothing else does."""

import pytest

from relu2snn.errors import UserError, shown
from relu2snn.secrecy import hidden, holds_secret

ADDRESSES = [
    ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
    ("postgresql+psycopg2://me:s:e/c@ret@host/db", "postgresql+psycopg2://me:***@host/db"),
    ("(could not reach 'http://me:secret@host/x', gave up)", "(could not reach 'http://me:***@host/x', gave up)"),
    ("https://dapi-token@host/mlflow", "https://***@host/mlflow"),
    ("http://:secret@host", "http://:***@host"),
    ("postgresql://host/db?user=me&password=secret&sslmode=require", None),
    ("https://bucket.s3/x?X-Amz-Credential=A%2Fb&X-Amz-Signature=1f&part=2", None),
    ("https://host/x?access_token=secret#top", "https://host/x?access_token=***#top"),
]
PLAIN = [
    "sqlite:///outputs/mlflow.db",
    "http://127.0.0.1:5000",
    "postgresql://mlflow@host/db?sslmode=require&sslkey=keys/me.pem",
    "s3://bucket/relu2snn",
    "overrides=phase2.zeta=0.3 train.epochs=2",
    "mail me@example.org: see http://host/a:b",
]


@pytest.mark.parametrize(("text", "expected"), ADDRESSES)
def test_secrets_of_addresses_are_stars(text: str, expected: str | None) -> None:
    assert holds_secret(text)
    found = hidden(text)
    assert expected in (None, found)
    assert "secret" not in found.replace("password", "")
    assert not holds_secret(found)
    if expected is None:
        assert found.count("***") == len([each for each in ("password=", "Credential=", "Signature=") if each in text])
        assert found.endswith(("sslmode=require", "part=2"))


def test_what_is_cut_shows_no_part_of_a_secret() -> None:
    address = f"postgresql://me:{'secret' * 20}@host/db"
    assert shown(address, 40) == "postgresql://me:***@host/db"


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert not holds_secret(text)
    assert hidden(text) == text


def test_secrets_of_the_environment_are_stars_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:f%C3%BCnf@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr/K7+x")
    monkeypatch.setenv("PGPASSWORD", "p=w&d;#")
    # Too short to tell from other words.
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "on")
    error = UserError("no f%C3%BCnf for wJalr/K7+x, on p=w&d;#")
    assert str(error) == "no *** for ***, on ***"


def test_an_unexpected_end_of_a_stage_shows_no_secret(tmp_path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    from relu2snn.stages import track
    from relu2snn.stages._launcher import launch

    def fail(*_: object) -> None:
        raise RuntimeError("lost http://me:secret@host")

    monkeypatch.setattr(track, "run", fail)
    assert launch(["track", "experiment=fmnist_fc", "suite=quickstart", f"outputs={tmp_path}/o"]) == 1
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert said.endswith("RuntimeError: lost http://me:***@host\n")
