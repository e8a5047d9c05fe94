"""What `make` says of itself, to somebody who has only this folder."""

import re
import shutil
import subprocess

import pytest
from runs import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def make(*words: str) -> str:
    ran = subprocess.run(["make", "-s", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_plain_make_lists_every_target_in_a_hundred_columns() -> None:
    shown = make()
    assert shown == make("help")
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split()) - {"help"}
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.M)) == targets
    assert max(map(len, shown.splitlines())) <= 100
    assert len(shown.splitlines()) < 30


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_what_may_be_given_is_said_where_it_is_used() -> None:
    shown = make()
    for name in re.findall(r"^([A-Z]+) \?= (?!\s)", MAKEFILE, re.M):
        default = re.search(rf"^{name} \?= (.*)$", MAKEFILE, re.M)[1]
        assert f"{name}={default}" in shown
