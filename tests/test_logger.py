"""What Snakemake says with `--logger relu2snn`, from the messages that it gives its loggers."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_relu2snn import LogHandler


def said(capsys: pytest.CaptureFixture[str], *messages: dict[str, Any], **settings: Any) -> list[str]:
    common = {"dryrun": False, "verbose": False, "printshellcmds": False, "quiet": None, "stdout": False, **settings}
    handler = LogHandler(SimpleNamespace(**common), None)
    for message in messages:
        values = {"name": "snakemake", "levelno": logging.INFO, **message}
        handler.emit(logging.makeLogRecord(values))
    return capsys.readouterr().err.splitlines()


def job(log: Path, number: int = 1, **wildcards: str) -> tuple[dict[str, Any], ...]:
    info = {"jobid": number, "rule_name": "train", "wildcards": wildcards, "log": [str(log)]}
    return (
        {"event": LogEvent.JOB_INFO, **info},
        {"event": LogEvent.JOB_FINISHED, "job_id": number},
        {"event": LogEvent.PROGRESS, "done": number, "total": 3},
    )


def test_a_job_that_has_ended_is_one_line_with_what_it_found(tmp_path: Path, capsys) -> None:
    log = tmp_path / "train.log"
    log.write_text("epoch 1/1: loss 0.5\nmnist_fc: test accuracy 0.8190 after 1 epochs\n")
    (line,) = said(capsys, *job(log, experiment="mnist_fc", variant="zeta=0.3"))
    assert line.split()[1:3] == ["1/3", "train"]
    assert line.endswith("s  mnist_fc zeta=0.3: test accuracy 0.8190 after 1 epochs")
    log.write_text("epoch 1/1: loss 0.5\n")
    assert said(capsys, *job(log, experiment="mnist_fc", variant="base"))[0].endswith("s  mnist_fc")
    assert said(capsys, *job(tmp_path / "none", dataset="mnist/base"))[0].endswith("s  mnist")


def test_failures_and_warnings_are_said_and_the_rest_is_not(tmp_path: Path, capsys) -> None:
    start, *_ = job(tmp_path / "log", experiment="mnist_fc", variant="base")
    failed = {"event": LogEvent.JOB_ERROR, "jobid": 1, "rule_name": "train"}
    plain = [{"msg": text} for text in ("Building DAG of jobs...", "Nothing to be done (all is there).")]
    lines = said(capsys, start, failed, *plain, {"msg": "no space", "levelno": logging.ERROR})
    assert lines == ["0:00  failed: train, mnist_fc", "Nothing to be done (all is there).", "no space"]


def test_who_asks_for_quiet_gets_it(tmp_path: Path, capsys) -> None:
    assert said(capsys, *job(tmp_path / "log", experiment="mnist_fc"), quiet=["all"]) == []
