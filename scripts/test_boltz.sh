#!/bin/sh
# The tests of the adapter to Boltz, in a virtual environment of their own: 1 GB, made once. Its weights are not needed,
# and of its dependencies only einops and einx, which its diffusion module imports.
#   scripts/test_boltz.sh [arguments of pytest]      BOLTZ_VENV: where, by default .venv/boltz
set -eu
cd "$(dirname "$0")/.."
venv=${BOLTZ_VENV:-.venv/boltz}
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
    pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
    pip -c constraints.txt torch
    pip --no-deps boltz==2.2.1
    pip -c constraints.txt einops einx==0.3.0 scipy numpy safetensors pydantic PyYAML typer rich matplotlib jinja2 \
        xarray zarr pytest
    pip --no-deps -e .
    touch "$stamp"
fi
exec "$venv/bin/python" -m pytest -q -m 'slow or not slow' tests/adapters/test_boltz.py "$@"
