#!/bin/sh
# The tests of the adapters to Boltz and BioEmu2, in a virtual environment of their own: 1 GB, made once. Weights are not
# needed, and of the dependencies only those that the diffusion modules import: einops, einx and fairscale. BioEmu2 asks
# for Python 3.12, where pip takes a CUDA build of torch; its score model and its sampler are read by 3.11 too.
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
    pip --no-deps fairscale==0.4.13
    pip --no-deps --ignore-requires-python bioemu2==0.1.0rc0
    pip -c constraints.txt einops einx==0.3.0 scipy numpy safetensors pydantic PyYAML typer rich matplotlib jinja2 \
        xarray zarr pytest
    pip --no-deps -e .
    touch "$stamp"
fi
exec "$venv/bin/python" -m pytest -q -m 'slow or not slow' tests/adapters/test_boltz.py tests/adapters/test_bioemu2.py "$@"
