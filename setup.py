"""What pyproject.toml has no words for: the folders beside src/ that the package reads are copied into a wheel.

An editable installation copies nothing and reads them where they stand (see src/relu2snn/shipped.py).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("conf", "pipeline/report/pages", "pipeline/places365")


class BuildWithFolders(build_py):
    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib, "relu2snn")
        # Setuptools keeps what an earlier build has left, also modules that are gone.
        shutil.rmtree(package, ignore_errors=True)
        super().run()
        for name in FOLDERS:
            shutil.copytree(name, package / name, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithFolders})
