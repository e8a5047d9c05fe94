"""The command line that all stages share: a config slice from the workflow, or Hydra overrides by hand."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import NoReturn

from relu2snn.config import Experiment, compose_experiment, compose_suite, from_slice
from relu2snn.config.places import publish_places
from relu2snn.config.shaping import job_slice
from relu2snn.config.variants import unmasked
from relu2snn.errors import UserError, machine_error, one_line

Run = Callable[[Experiment, int | None], None]


def stage_app(stage: str, run: Run) -> None:
    """Run `run(config, part)` with the slice of the config that `stage` may read, and exit.

    A UserError, a full disk and a lack of memory become one line on stderr and exit status 1.
    """
    try:
        config, part = _read_command_line(stage)
        run(config, part)
    except UserError as error:
        _end(stage, str(error))
    except (OSError, MemoryError) as error:
        _end(stage, machine_error(error) or one_line(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _end(stage: str, text: str) -> NoReturn:
    print(f"relu2snn {stage}: {text}", file=sys.stderr)
    sys.exit(1)


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
    return from_slice(job_slice(whole, stage)), arguments.part
