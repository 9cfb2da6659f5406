#!/usr/bin/env bash
# Run by Snakemake in a conda environment that it has made, in the folder that it was started in: that of the checkout.
set -euo pipefail
if ! [ -f envs/requirements.txt ]; then
  echo "secondlook: the conda environment is made in the folder of the checkout; start Snakemake there once." >&2
  exit 2
fi
python -m pip install --quiet --require-hashes --requirement envs/requirements.txt
python -m pip install --quiet --no-deps --editable .
