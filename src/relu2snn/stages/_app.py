"""The command line that all stages share: a config slice from the workflow, or Hydra overrides by hand."""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from relu2snn.arguments import Arguments, whole
from relu2snn.config import (
    Experiment,
    checked_slice,
    compose_experiment,
    compose_suite,
    composing,
    from_slice,
    require_place,
    written,
)
from relu2snn.config.places import publish_places
from relu2snn.config.shaping import job_slice
from relu2snn.config.variants import unmasked
from relu2snn.errors import UserError, machine_error, one_line, printable, shown
from relu2snn.locks import locked
from relu2snn.secrecy import hidden
from relu2snn.stages import _ending

Run = Callable[[Experiment, int | None], None]

_IN_PARTS = ("phase2", "places365_part", "pass_part")
# As many as dataset.parts may be.
_MOST_PARTS = 10**4


def stage_app(stage: str, run: Run) -> None:
    """Run `run(config, part)` with the slice of the config that `stage` may read, and exit.

    It runs alone on what it writes, and ends with the workflow that has started it. A UserError, a full disk and a
    lack of memory become one line on stderr and exit status 1; a signal one line and 128 + its number.
    """
    _ending.begin(stage)
    try:
        with _ending.heeded():
            config, part = _read_command_line(stage)
            _ending.running()
            with locked(written(stage, config, part), config.outputs):
                run(config, part)
    except UserError as error:
        _end(stage, str(error))
    except Exception as error:
        line = machine_error(error)
        if line is None and not isinstance(error, OSError):
            # What a library says may hold an address of the environment, password and all.
            sys.stderr.write(hidden(traceback.format_exc()))
            sys.exit(1)
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
        print(f"relu2snn {stage}: {printable(text)}", file=sys.stderr, flush=True)


def _read_command_line(stage: str) -> tuple[Experiment, int | None]:
    parser = Arguments(
        f"python -m relu2snn.stages.{stage}",
        epilog="By hand: experiment=mnist_fc phase2.zeta=0.3. Groups and values are in conf/.",
    )
    parser.add_argument("--slice", help="the stage's slice of the config, as JSON (what the workflow passes)")
    parser.add_argument("--part", type=whole(0, _MOST_PARTS), help="the part of the images to run (default: all)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="experiment=…, suite=…, sweep=…, overrides")
    given = parser.parse_args()
    if given.part is not None and stage not in _IN_PARTS:
        raise UserError(f"--part {given.part}: this stage has no parts; leave it out")
    if given.slice is not None and given.overrides:
        raise UserError(f"{shown(given.overrides[0])}: --slice is the whole configuration; give one of them")
    if given.slice is None:
        config = _by_hand(stage, given.overrides)
    else:
        with composing(f"--slice {shown(given.slice)}"):
            # Only these read a file that an override names; others say where it was.
            values = unmasked(json.loads(given.slice), check=stage in ("custom_data", "weights", "places365_weights"))
            config = checked_slice(values, stage)
    # The last part of photographs is that of the calibration images.
    if given.part is not None and given.part > (last := config.dataset.parts - (stage == "phase2")):
        raise UserError(f"--part {given.part}: must be from 0 to {last} (dataset.parts{' - 1' * (stage == 'phase2')})")
    return config, given.part


def _by_hand(stage: str, words: list[str]) -> Experiment:
    named: dict[str, str] = {}
    overrides = []
    for text in words:
        key, _, value = text.partition("=")
        if key not in ("experiment", "suite", "sweep"):
            overrides.append(text)
        elif key in named:
            raise UserError(f"{shown(text)}: {key} is set twice; a stage runs one")
        else:
            named[key] = value
    if "experiment" not in named:
        raise UserError("no experiment given; add experiment=NAME, a file of conf/experiment/")
    with composing():
        suite = compose_suite(named.get("suite", "paper"))
        config = compose_experiment(named["experiment"], suite, overrides, named.get("sweep", ""))
        require_place(config.outputs)
        publish_places([config])
        return from_slice(job_slice(config, stage))
