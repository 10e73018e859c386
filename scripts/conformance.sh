#!/usr/bin/env bash
# Runs the official client's conformance checks against a server with a small taxi model.
# The checks are kept beside the repository (../shared/tools); CONFORMANCE=path names another copy.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

checks=${CONFORMANCE:-../shared/tools/oip-conformance.py}
cargo build --quiet
spinwell=${CARGO_TARGET_DIR:-target}/debug/spinwell
work=$(mktemp -d)
at_exit='rm -rf "$work"'
trap 'eval "$at_exit"' EXIT
$spinwell train examples/data/nab_nyc_taxi.csv --target value --time timestamp --horizon 48 --season 336 \
  --family linear --holdout 0 --trials 4 --name taxi --models "$work/models" --json >"$work/train.json"
start_server "$spinwell" "$work/models" "$work/server.log"
target/venv/bin/python examples/call.py --http "$http" --grpc "$grpc" --model taxi \
  --csv examples/data/nab_nyc_taxi.csv --column value
if [ -f "$checks" ]; then
  target/venv/bin/python "$checks" --http "$http" --grpc "$grpc" --ops "$ops" --model taxi --stage full --spinwell
else
  echo "conformance checks not found at $checks: only the example client was run"
fi
