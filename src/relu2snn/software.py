"""The software and the machine that make a result."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import relu2snn

PACKAGES = ("tensorflow", "keras", "numpy", "numba", "snakemake", "mlflow", "matplotlib")


def software() -> dict[str, Any]:
    """Versions of Python and of what computes or shows results; the processor, the cores that it has, the system."""
    return {
        "python": platform.python_version(),
        "relu2snn": relu2snn.__version__,
        **{name: version(name) for name in PACKAGES},
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }


def processor() -> str:
    """The processor's name as Linux knows it, or what Python says elsewhere."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def git_commit(folder: Path | None) -> str | None:
    """The commit checked out around `folder`, with "-dirty" after local changes; None outside a git checkout.

    folder: None, too, is outside of any, as the package is that comes from a wheel. That outputs/ was deleted, where
    results go, is no change.
    """
    if folder is None:
        return None
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)outputs")
    return f"{head}-dirty" if changed else head


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "--no-optional-locks", *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
