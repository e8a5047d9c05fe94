"""Runs commands of the documentation in a folder: a list of them in JSON on stdin, what came of each on stdout.

The programs of Python share what they import, in a child for each command, since a start of one takes seconds; all
else is given to a shell.
"""

import json
import os
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from typing import Any

PROGRAMS = {"snakemake": "snakemake", "relu2snn": "relu2snn.command.app"}
"""What is run in a forked child, by the name of the program, and what it imports beforehand."""


def begun(words: list[str]) -> bool:
    """Whether a command is one of PROGRAMS, or a module of this package; its environment is set, its words are left."""
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    program = words[0].rpartition("/")[2]
    words[0] = program
    return program in PROGRAMS or (program == "python" and words[1:2] == ["-m"])


def program(words: list[str]) -> None:
    """Be the program that a command names."""
    if words[0] == "python":
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    elif words[0] == "snakemake":
        from snakemake.cli import main

        sys.argv = words
        main()
    else:
        from relu2snn.command.app import app

        sys.argv = words
        app()


def tried(command: str) -> dict[str, Any]:
    """Status and output of a command."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        child = os.fork()
        if not child:
            status = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                words = shlex.split(command)
                if begun(words):
                    program(words)
                    status = 0
                else:
                    status = subprocess.run(command, shell=True, check=False).returncode
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(bool(end.code))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return {"command": command, "status": status, "output": output.read()}


def main() -> None:
    """Try each of the commands on stdin."""
    commands = json.load(sys.stdin)
    names = {word.rpartition("/")[2] for command in commands for word in shlex.split(command)[:2]}
    for name in names & PROGRAMS.keys():
        __import__(PROGRAMS[name])
    if "relu2snn" in names:
        __import__("keras")
    sys.path.insert(0, os.getcwd())
    print(json.dumps([tried(command) for command in commands]))


if __name__ == "__main__":
    main()
