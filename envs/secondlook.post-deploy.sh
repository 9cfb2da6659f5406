#!/usr/bin/env bash
# Run by Snakemake in a conda environment that it has made, in the folder that it was started in: that of the checkout.
set -euo pipefail
if ! [ -f envs/requirements.txt ]; then
  echo "secondlook: conda environments are made in a checkout only; in a project leave out the option, and rules run in the environment of secondlook." >&2
  exit 2
fi
python -m pip install --quiet --require-hashes --requirement envs/requirements.txt
python -m pip install --quiet --no-deps --editable .
