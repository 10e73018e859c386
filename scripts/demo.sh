#!/usr/bin/env bash
# The product's main job once, on real data: train, serve, call with somebody else's client, draw, stop.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
data=examples/data/nab_nyc_taxi.csv
out=demo-out
rm -rf "$out"; mkdir -p "$out"

say "1. Build (release)"
cargo build --release --quiet
spinwell=${CARGO_TARGET_DIR:-target}/release/spinwell
echo "$($spinwell --version), $(du -h $spinwell | cut -f1)"

say "2. Train on half-hourly taxi demand in New York: one day ahead (48 rows), weekly season (336 rows)"
$spinwell train $data --target value --time timestamp --horizon 48 --season 336 --seed 42 \
  --name taxi --models $out/models --plot $out/holdout.svg

say "3. How far to trust it: train on the first 8,000 rows alone, then a report on the 2,320 after them"
head -n 8001 $data >$out/older.csv
$spinwell train $out/older.csv --target value --time timestamp --horizon 48 --season 336 --seed 42 \
  --name older --models $out/models >/dev/null 2>&1
$spinwell evaluate older $data --models $out/models --test-start 8000 --report $out/report.html | head -n 3

say "4. What was unusual: learn from the first 15 % of the rows, watch the rest"
$spinwell backtest $data --task anomaly --target value --time timestamp --label anomaly_window --plot $out/anomalies.svg \
  2>/dev/null | tail -n 12

say "5. Serve it"
start_server $spinwell $out/models $out/server.log
cat $out/server.log

say "6. Ask it: spinwell's own client, over HTTP, with a plot"
$spinwell predict taxi $data --url "http://$http" --plot $out/forecast.svg >$out/forecast.txt
head -n 6 $out/forecast.txt; echo "  .. ($(($(wc -l <$out/forecast.txt) - 6)) more lines in $out/forecast.txt)"

say "7. Ask it: tritonclient (NVIDIA's client, from PyPI), over HTTP and gRPC"
target/venv/bin/python examples/call.py --http "$http" --grpc "$grpc" --model taxi --csv $data --column value

say "8. What the server counted"
target/venv/bin/python - "$ops" <<'PY'
import sys, requests
for line in requests.get(f"http://{sys.argv[1]}/metrics", timeout=5).text.splitlines():
    if line.startswith(("spinwell_requests_total", "spinwell_predictions_total", "nv_inference_request_success")):
        print(line)
PY

stop_server
say "Done. The server has stopped. Next:"
cat <<TXT
  look at          $out/report.html, $out/holdout.svg, $out/forecast.svg and $out/anomalies.svg
  read the card    $out/models/taxi/*/card.json
  serve it again   $spinwell serve --models $out/models
  your own data    $spinwell train YOUR.csv --target COLUMN --horizon 24
  the tour         README.md
TXT
