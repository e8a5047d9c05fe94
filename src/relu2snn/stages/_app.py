"""The command line that all stages share: a config slice from the workflow, or Hydra overrides by hand."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from relu2snn.config import Experiment, compose_experiment, compose_suite, from_slice, stage_slice, written
from relu2snn.config.places import publish_places
from relu2snn.config.variants import unmasked
from relu2snn.errors import UserError, machine_error, one_line
from relu2snn.locks import locked
from relu2snn.stages import _ending

Run = Callable[[Experiment, int | None], None]


def stage_app(stage: str, run: Run) -> None:
    """Run `run(config, part)` with the slice of the config that `stage` may read, and exit.

    It runs alone on what it writes, and ends with the workflow that has started it. A UserError, a full disk and a
    lack of memory become one line on stderr and exit status 1; a signal one line and 128 + its number.
    """
    _ending.begin(stage)
    try:
        config, part = _read_command_line(stage)
        _ending.running()
        with locked(written(stage, config, part), config.outputs):
            run(config, part)
    except UserError as error:
        _end(stage, str(error))
    except _ending.Ended:
        _ending.leave()
    except Exception as error:
        line = machine_error(error)
        if line is None and not isinstance(error, OSError):
            raise
        _say(stage, line or one_line(error))
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        # HDF5 crashes at the end of a process in which it could not write a file.
        os._exit(1)


def _end(stage: str, text: str) -> NoReturn:
    _say(stage, text)
    sys.exit(1)


def _say(stage: str, text: str) -> None:
    # Where there is no space for the log either, only the exit status is left to say it.
    with contextlib.suppress(OSError):
        print(f"relu2snn {stage}: {text}", file=sys.stderr, flush=True)


def _read_command_line(stage: str) -> tuple[Experiment, int | None]:
    parser = argparse.ArgumentParser(
        prog=f"python -m relu2snn.stages.{stage}",
        epilog="By hand: experiment=mnist_fc phase2.zeta=0.3. Groups and values are in conf/.",
    )
    parser.add_argument("--slice", help="the stage's slice of the config, as JSON (what the workflow passes)")
    parser.add_argument("--part", type=int, help="the part of the test images to run (default: all)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="experiment=…, suite=…, sweep=…, overrides")
    arguments = parser.parse_args()
    if arguments.slice:
        # Only these read such a file; others say where it was.
        values = unmasked(json.loads(arguments.slice), check=stage in ("weights", "places365_weights"))
        return from_slice(values), arguments.part
    named = {"suite": "paper"}
    overrides = []
    for text in arguments.overrides:
        key, _, value = text.partition("=")
        if key in ("experiment", "suite", "sweep"):
            named[key] = value
        else:
            overrides.append(text)
    if "experiment" not in named:
        raise UserError("no experiment given; add experiment=NAME, a file of conf/experiment/")
    whole = compose_experiment(named["experiment"], compose_suite(named["suite"]), overrides, named.get("sweep", ""))
    publish_places([whole])
    return from_slice(stage_slice(whole, stage)), arguments.part
