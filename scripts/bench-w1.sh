#!/usr/bin/env bash
# Workload W1: an echo-state network of 300 dense units, window 64, JSON, one prediction a request, 64 keep-alive
# connections in a closed loop for SECONDS (30), server and load generator on this machine. Run with `linear` as the
# first argument for next to no model work.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

family=${1:-echo}
seconds=${SECONDS_OF_LOAD:-30}
work=$(mktemp -d)
at_exit='rm -rf "$work"'
trap 'eval "$at_exit"' EXIT
cargo build --release --quiet
spinwell=${CARGO_TARGET_DIR:-target}/release/spinwell
case $family in
  echo) options=(--family echo --set units=300,density=1,skip=off) ;;
  linear) options=(--family linear --set lags=24) ;;
  *) echo "usage: bench-w1.sh [echo|linear]" >&2; exit 2 ;;
esac
$spinwell train examples/data/nab_nyc_taxi.csv --target value --time timestamp --season 1 --horizon 1 \
  "${options[@]}" --name w1 --models "$work/models" --json >"$work/train.json"
start_server "$spinwell" "$work/models" "$work/server.log"

cat >"$work/w1.lua" <<'LUA'
local values = {}
for t = 1, 64 do values[t] = string.format("%.1f", 15000 + 8000 * math.sin(t / 7.6)) end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"inputs":[{"name":"series","shape":[1,64,1],"datatype":"FP32","data":[' .. table.concat(values, ",") .. ']}]}'
function done(summary, latency, requests)
  io.write(string.format("requests/s %.0f   P50 %.2f ms   P99 %.2f ms   P99.9 %.2f ms   errors: connect %d read %d write %d timeout %d status %d\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, summary.errors.connect, summary.errors.read, summary.errors.write,
    summary.errors.timeout, summary.errors.status))
end
LUA
wrk -t1 -c64 -d2s -s "$work/w1.lua" "http://$http/v2/models/w1/infer" >/dev/null
echo "W1 ($family), $seconds s, 64 connections, $(nproc) cores shared with the load generator:"
wrk -t1 -c64 -d"${seconds}s" -s "$work/w1.lua" "http://$http/v2/models/w1/infer" | tail -n 1
