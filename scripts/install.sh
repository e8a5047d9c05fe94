#!/usr/bin/env bash
# Makes .venv with the pinned packages of requirements/$1.txt and this package, editable.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "install: $python is not Python 3.11 or later ($("$python" --version 2>&1)); name one with PYTHON=…" >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
# uv installs in a quarter of pip's time; where it cannot reach the packages, pip is tried with its own settings.
# What is imported is compiled then; all of it would take half a minute of the processor.
echo "installing the $(grep -c '^[a-z].*==' "requirements/$1.txt") packages of requirements/$1.txt into .venv"
quiet="--quiet --disable-pip-version-check"
{
    .venv/bin/python -m pip install $quiet --no-deps --require-hashes -r requirements/uv.txt &&
        .venv/bin/uv pip install --python .venv/bin/python --quiet --require-hashes -r "requirements/$1.txt"
} || .venv/bin/python -m pip install $quiet --no-deps --require-hashes -r "requirements/$1.txt"
.venv/bin/python -m pip install $quiet --no-deps --no-build-isolation -e .
