"""What a stage takes, as Snakemake's benchmark files say it: also of a process that is no child of the job's shell."""

import resource
import sys
import time
from datetime import timedelta

from relu2snn.files import write_text

_COLUMNS = ("s", "h:m:s", "max_rss", "cpu_time", "mean_load")
# In kilobytes on Linux, in bytes on macOS.
_MEGABYTES = 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10


class Usage:
    """Time from now on; CPU time and largest memory of this process and of those it has started and waited for."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def write(self, path: str) -> None:
        """Write a table of one line; time in seconds, memory in megabytes, load in per cent of a core."""
        seconds, cpu = time.monotonic() - self._started, _cpu()
        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        clock = str(timedelta(seconds=int(seconds)))
        values = (
            f"{seconds:.4f}", clock, f"{largest * _MEGABYTES:.2f}", f"{cpu:.2f}", f"{100 * cpu / seconds:.2f}"
        )  # fmt: skip
        write_text(path, "\t".join(_COLUMNS) + "\n" + "\t".join(values) + "\n")


def _cpu() -> float:
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)
