#!/usr/bin/env bash
# Run by Snakemake in the conda environment that it created (by hand: conda activate, then this, from the root).
set -euo pipefail
python -m pip install --no-deps --no-build-isolation -e .
