#!/bin/sh
# The tests of the adapter to BioEmu, in a virtual environment of their own: 1.5 GB, made once. Its weights are not
# needed. What only computing embeddings takes, tensorflow and jax among it, is left out.
#   scripts/test_bioemu.sh [arguments of pytest]      BIOEMU_VENV: where, by default .venv/bioemu
set -eu
cd "$(dirname "$0")/.."
venv=${BIOEMU_VENV:-.venv/bioemu}
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
    pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
    pip -c constraints.txt torch
    pip --no-deps bioemu==1.4.1
    pip -c constraints.txt mdtraj torch_geometric einops hydra-core stackprinter tqdm requests huggingface-hub typer \
        modelcif bio fire dm-tree pydantic safetensors rich scipy matplotlib jinja2 numcodecs PyYAML pytest
    pip --no-deps -e .
    touch "$stamp"
fi
TQDM_DISABLE=1 exec "$venv/bin/python" -m pytest -q -m 'slow or not slow' tests/adapters/test_bioemu.py \
    tests/adapters/test_bioemu_files.py "$@"
