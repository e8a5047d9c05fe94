"""`python -m relu2snn.stages NAME …`: one stage, in this process or, where one is offered, in a warm one."""

import sys

from relu2snn.stages import _warm

if __name__ == "__main__":
    status = _warm.run_warm(sys.argv[1:])
    if status is None:
        # Takes a while to import, which a warm process has done.
        from relu2snn.stages._launcher import launch

        status = launch(sys.argv[1:])
    sys.exit(status)
