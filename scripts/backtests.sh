#!/usr/bin/env bash
# Held-out accuracy on the shared data sets (../shared/data, or DATA=folder), each with the split of its README.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${DATA:-../shared/data}
cargo build --release --quiet
spinwell=${CARGO_TARGET_DIR:-target}/release/spinwell

printf '%-18s %4s  %-8s %8s %9s %9s %10s %9s\n' set h family NRMSE 'cov. %' 'worst 200' 'window' 'seconds'
row() { # file target horizon season train-end test-end
  local common=("$data/$1.csv" --target "$2" --horizon "$3" --season "$4" --train-end "$5" --test-end "$6" --json)
  local stream window
  stream=$($spinwell backtest "${common[@]}")
  window=$($spinwell backtest "${common[@]}" --mode window="${7:-512}")
  python3 - "$1" "$3" "$stream" "$window" <<'PY'
import json, sys
name, horizon, stream, window = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
print(f"{name:<18} {horizon:>4}  {stream['family']:<8} {stream['nrmse']:>8.4f} {100 * stream['coverage']:>9.1f} "
      f"{100 * stream['coverage_worst_200']:>9.1f} {window['nrmse']:>10.4f} {stream['train_seconds']:>9.1f}")
PY
}
row nab_nyc_taxi value 1 336 4800 10320
row nab_nyc_taxi value 48 336 4800 10320
row taylor_demand demand_mw 1 336 2688 4032
row taylor_demand demand_mw 48 336 2688 4032
row sunspots_monthly sunspots 1 1 2000 2820
