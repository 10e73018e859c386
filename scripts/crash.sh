#!/usr/bin/env bash
# Live sequences under load while the server is killed (kill -9) and started again, beside a run in which nothing happens:
# no acknowledged step may be lost or doubled, and all answers must be equal to the bit.
# SEQUENCES (10000), RATE steps a second (5000), STEPS of all sequences together (100000), KILLS (1).
set -euo pipefail
cd "$(dirname "$0")/.."
sequences=${SEQUENCES:-10000} rate=${RATE:-5000} steps=${STEPS:-100000} kills=${KILLS:-1}
spinwell=${CARGO_TARGET_DIR:-target}/release/spinwell
work=$(mktemp -d)
server= load=
stop() {
  for process in $load $server; do kill -KILL "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT

$spinwell train examples/data/nab_nyc_taxi.csv --target value --time timestamp --season 1 --horizon 1 \
  --family echo --set units=300,density=0.1,skip=off --name taxi --models "$work/models" --json >"$work/train.json"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

start() { # DATA
  $spinwell serve --data "$1" --models "$work/models" --http 127.0.0.1:0 --grpc "127.0.0.1:$port" --ops 127.0.0.1:0 \
    >"$work/server.log" 2>"$work/server.err" &
  server=$!
  for _ in $(seq 1200); do
    grep -q '^ready' "$work/server.log" && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  echo "the server did not start:" >&2; cat "$work/server.log" "$work/server.err" >&2; exit 1
}

run() { # JSON
  $spinwell bench --url "127.0.0.1:$port" --model taxi --protocol sequence --sequences "$sequences" --rate "$rate" \
    --requests "$steps" --window 64 --warmup 0 --duration 600 --reconnect 60 --json >"$1" 2>"$1.err" || {
    echo "the load failed:" >&2; cat "$1.err" >&2
    return 1
  }
}

echo "undisturbed: $sequences sequences, $steps steps at $rate a second"
start "$work/calm"
run "$work/calm.json"
kill -KILL "$server"; wait "$server" 2>/dev/null || true

echo "disturbed: the same, killed $kills times"
start "$work/rough"
run "$work/rough.json" & load=$!
# All sequences have begun when their window is answered; the first kill waits for that.
for number in $(seq "$kills"); do
  sleep $((steps / rate / (kills + 1) + 4))
  kill -0 "$load" 2>/dev/null || { echo "the load was over before kill $number: give more STEPS" >&2; cat "$work/rough.json.err" >&2; exit 1; }
  kill -KILL "$server"; wait "$server" 2>/dev/null || true
  down=$(date +%s%N)
  start "$work/rough"
  echo "kill $number: ready again after $((($(date +%s%N) - down) / 1000000)) ms; $(grep '^kept' "$work/server.log" || echo 'nothing to bring back')"
done
wait "$load"
load=

python3 - "$work/calm.json" "$work/rough.json" <<'PY'
import json, sys
calm, rough = (json.load(open(path)) for path in sys.argv[1:])
for name, one in (("undisturbed", calm), ("disturbed", rough)):
    print(f"{name:12} answered {one['answered']}, failed {one['refused'] + one['failed']}, unanswered {one['unanswered']}, "
          f"sent again {one['sent_again']}, digest of all answers {one['answers_digest']}, "
          f"P50 {one['latency_ms']['p50']:.2f} ms, longest {one['latency_ms']['max']:.0f} ms")
whole = all(one["refused"] == one["failed"] == one["unanswered"] == one["never_sent"] == 0 for one in (calm, rough))
same = calm["answers_digest"] == rough["answers_digest"] and calm["answered"] == rough["answered"]
if not (whole and same and rough["sent_again"] > 0):
    sys.exit("NOT the same, or nothing was under way when the server was killed")
print("every step was answered once, and every answer is the same to the bit")
PY
