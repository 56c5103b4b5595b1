#!/bin/sh
# The tests of the adapter to diffusers with transformers and Modular pipelines, in a virtual environment of their own:
# 1.6 GB, made once. Networks are tiny and random; nothing is downloaded but packages.
#   scripts/test_diffusers.sh [arguments of pytest]      DIFFUSERS_VENV: where, by default .venv/diffusers
set -eu
cd "$(dirname "$0")/.."
venv=${DIFFUSERS_VENV:-.venv/diffusers}
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
    pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
    pip -c constraints.txt torch
    pip -c constraints.txt diffusers transformers pydantic safetensors rich scipy matplotlib jinja2 xarray zarr PyYAML \
        typer pytest
    pip --no-deps -e .
    touch "$stamp"
fi
exec "$venv/bin/python" -m pytest -q -m 'slow or not slow' tests/adapters/test_diffusers.py \
    tests/adapters/test_diffusers_networks.py tests/adapters/test_pages.py -k 'not flow_matching and not torchcfm and not azula' "$@"
