#!/bin/sh
# What the Dockerfile and envs/apptainer.def install into /opt/synthseg; they run this in a folder with the project's files.
#   sh container.sh torch cpu|cuda
#   sh container.sh package
set -eu
pip="/opt/synthseg/bin/python -m pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt"

case "$*" in
"torch cpu")
    python -m venv /opt/synthseg
    # On Linux the usual builds are for CUDA and bring gigabytes of libraries; TORCH_INDEX says where those for CPUs are.
    $pip ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch==2.13.0
    ;;
"torch cuda")
    python -m venv /opt/synthseg
    $pip torch==2.13.0
    ;;
"package")
    $pip hatchling
    $pip --no-build-isolation ".[workflow,pictures]"
    ;;
*)
    echo "container.sh: found '$*', expected 'torch cpu', 'torch cuda' or 'package'" >&2
    exit 2
    ;;
esac
