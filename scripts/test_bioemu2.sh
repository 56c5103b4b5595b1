#!/bin/sh
# The tests of the adapter to BioEmu2 with the whole package, in a virtual environment of their own with Python 3.12:
# 5.5 GB, made once, since pip takes a CUDA build of torch there, which runs on a CPU as well. Weights are not needed.
#   scripts/test_bioemu2.sh [arguments of pytest]      BIOEMU2_VENV: where, by default .venv/bioemu2
set -eu
cd "$(dirname "$0")/.."
venv=${BIOEMU2_VENV:-.venv/bioemu2}
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    test -x "$venv/bin/python" || "${PYTHON312:-python3.12}" -m venv "$venv"
    pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
    pip bioemu2==0.1.0rc0
    pip safetensors pydantic PyYAML typer rich matplotlib jinja2 xarray zarr scipy pytest
    pip --no-deps -e .
    touch "$stamp"
fi
exec "$venv/bin/python" -m pytest -q -m 'slow or not slow' tests/adapters/test_bioemu2.py "$@"
