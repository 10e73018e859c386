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

say "3. Serve it"
start_server $spinwell $out/models $out/server.log
cat $out/server.log

say "4. Ask it: spinwell's own client, over HTTP, with a plot"
$spinwell predict taxi $data --url "http://$http" --plot $out/forecast.svg >$out/forecast.txt
head -n 6 $out/forecast.txt; echo "  .. ($(($(wc -l <$out/forecast.txt) - 6)) more lines in $out/forecast.txt)"

say "5. Ask it: tritonclient (NVIDIA's client, from PyPI), over HTTP and gRPC"
target/venv/bin/python examples/call.py --http "$http" --grpc "$grpc" --model taxi --csv $data --column value

say "6. What the server counted"
target/venv/bin/python - "$ops" <<'PY'
import sys, requests
for line in requests.get(f"http://{sys.argv[1]}/metrics", timeout=5).text.splitlines():
    if line.startswith(("spinwell_requests_total", "spinwell_predictions_total", "nv_inference_request_success")):
        print(line)
PY

stop_server
say "Done. The server has stopped. Next:"
cat <<TXT
  look at          $out/holdout.svg and $out/forecast.svg
  read the card    $out/models/taxi/*/card.json
  serve it again   $spinwell serve --models $out/models
  your own data    $spinwell train YOUR.csv --target COLUMN --horizon 24
  the tour         README.md
TXT
