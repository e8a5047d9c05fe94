"""Runs one stage: a slice of the config from the workflow, or Hydra's overrides by hand, in; one line and a status out.

What takes seconds to import is imported last, when the command line, the config and the files that the stage reads are
known to be right.
"""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from relu2snn.arguments import Arguments, whole
from relu2snn.config import (
    Experiment,
    checked_slice,
    compose_experiment,
    compose_suite,
    composing,
    from_slice,
    read,
    require_place,
    written,
)
from relu2snn.config.compose import known
from relu2snn.config.options import by_hand
from relu2snn.config.places import publish_places
from relu2snn.config.shaping import job_slice
from relu2snn.config.variants import unmasked
from relu2snn.errors import UserError, machine_error, one_line, printable, shown
from relu2snn.files import require_file
from relu2snn.locks import locked
from relu2snn.secrecy import hidden
from relu2snn.stages import _ending
from relu2snn.stages._table import STAGES
from relu2snn.stages._usage import Usage

# As many as dataset.parts may be.
_MOST_PARTS = 10**4
# Only these read a file that an override names; others say where it was.
_READS_NAMED = ("custom_data", "weights", "places365_weights")


class _Given(NamedTuple):
    stage: str
    part: int | None
    slice: str | None
    log: str | None
    benchmark: str | None
    overrides: list[str]


def launch(arguments: list[str], above: Sequence[int] | None = None) -> int:
    """Run the stage that a command line names; the status to exit with.

    It runs alone on what it writes, and ends with the workflow that has started it. A UserError, a full disk and a
    lack of memory become one line on stderr and status 1; a signal one line and 128 + its number.
    above: the numbers of the processes that it ends with besides; its parent, if not given.
    """
    usage = Usage()
    name = arguments[0] if arguments and arguments[0] in STAGES else ""
    _ending.begin(name or "stages", above)
    try:
        with _ending.heeded():
            given = _parsed(arguments)
            if given.log:
                _ending.write_log(given.log)
            config = _config(given)
            for file in read(given.stage, config, given.part):
                require_file(file)
            stage = STAGES[given.stage]
            if stage.tensorflow:
                import relu2snn.stages._tensorflow  # noqa: F401
            stage.load()
            _ending.running()
            with locked(written(given.stage, config, given.part), config.outputs):
                stage.run(config, given.part)
            if given.benchmark:
                usage.write(given.benchmark)
    except UserError as error:
        _ending.say(f"relu2snn {name or 'stages'}: {printable(str(error))}")
        return 1
    except Exception as error:
        line = machine_error(error)
        if line is None and not isinstance(error, OSError):
            # What a library says may hold an address of the environment, password and all.
            _ending.say(hidden(traceback.format_exc()).rstrip())
            return 1
        _ending.say(f"relu2snn {name}: {printable(line or one_line(error))}")
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        # HDF5 crashes at the end of a process in which it could not write a file.
        os._exit(1)
    return 0


def _parsed(arguments: list[str]) -> _Given:
    parser = Arguments(
        "python -m relu2snn.stages",
        description="Runs one stage of the workflow. Stages: " + ", ".join(STAGES) + ".",
        epilog="By hand: phase2 experiment=mnist_fc phase2.zeta=0.3. Groups and values are in conf/.",
    )
    parser.add_argument("stage", help="what to run")
    parser.add_argument("--slice", help="the stage's slice of the config, as JSON (what the workflow passes)")
    parser.add_argument("--part", type=whole(0, _MOST_PARTS), help="the part of the images to run (default: all)")
    parser.add_argument("--log", metavar="FILE", help="write what is said there; the terminal gets how far it is")
    parser.add_argument(
        "--benchmark", metavar="FILE", help="write there what it took, as Snakemake's benchmarks say it"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="experiment=…, suite=…, sweep=…, overrides")
    given = _Given(**vars(parser.parse_intermixed_args(arguments)))
    if given.stage not in STAGES:
        raise UserError(f"{shown(given.stage)}: no stage; there are {', '.join(STAGES)}")
    if given.part is not None and not STAGES[given.stage].parts:
        raise UserError(f"--part {given.part}: this stage has no parts; leave it out")
    if given.slice is not None and given.overrides:
        raise UserError(f"{shown(given.overrides[0])}: --slice is the whole configuration; give one of them")
    return given


def _config(given: _Given) -> Experiment:
    stage, part = given.stage, given.part
    if given.slice is None:
        config = _by_hand(stage, given.overrides)
    else:
        with composing(f"--slice {shown(given.slice)}"):
            config = checked_slice(unmasked(json.loads(given.slice), check=stage in _READS_NAMED), stage)
    # The last part of photographs is that of the calibration images.
    if part is not None and part > (last := config.dataset.parts - (stage == "phase2")):
        raise UserError(f"--part {part}: must be from 0 to {last} (dataset.parts{' - 1' * (stage == 'phase2')})")
    return config


def _by_hand(stage: str, words: list[str]) -> Experiment:
    given = by_hand(words, known("experiment"))
    with composing():
        suite = compose_suite(given.suite)
        config = compose_experiment(given.experiment, suite, given.overrides, given.sweep)
        require_place(config.outputs)
        publish_places([config])
        return from_slice(job_slice(config, stage))
