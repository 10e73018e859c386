#!/usr/bin/env bash
# Live sequences under load while the server is killed (kill -9) and started again, beside a run in which nothing happens:
# no acknowledged step may be lost or doubled, and all answers must be equal to the bit. Written as docs/results/crash.md or the file in OUT.
# SEQUENCES (10000), RATE steps a second (5000), STEPS of all sequences together (100000), KILLS (1).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-docs/results/crash.md}
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
  took=$((($(date +%s%N) - down) / 1000000))
  kept=$(grep '^kept' "$work/server.log" || echo 'nothing to bring back')
  echo "kill $number: ready again after $took ms; $kept"
  echo "$took $kept" >>"$work/kills"
done
wait "$load"
load=

PYTHONPATH=scripts python3 - "$work" "$out" "$sequences" "$rate" "$steps" <<'PY'
import json, pathlib, sys
import claims

work, out, sequences, rate, steps = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:])
calm, rough = (json.loads((work / f"{name}.json").read_text()) for name in ("calm", "rough"))
kills = [line.split(maxsplit=2) for line in (work / "kills").read_text().splitlines()]
lost = [sum(one[what] for what in ("refused", "failed", "unanswered", "never_sent")) for one in (calm, rough)]
page = claims.Page("Sequences and a server that is killed", "make crash", out)
page.check("every step is answered, undisturbed and with the server killed (`kill -9`) and started again",
           f"{calm['answered']:,} and {rough['answered']:,}; {lost[0]} and {lost[1]} not", lost == [0, 0] and calm["answered"] == rough["answered"])
page.check("no acknowledged step is lost or taken twice: all answers are those of the undisturbed run, to the bit",
           f"digests of all answers {calm['answers_digest']} and {rough['answers_digest']}", calm["answers_digest"] == rough["answers_digest"])
page.check("steps were under way when it was killed, and were sent again", f"{rough['sent_again']:,}", rough["sent_again"] > 0)
page.add(f"{sequences:,} live sequences, {steps:,} steps of theirs at {rate:,} a second (an open loop over gRPC), each answered when the step log has "
         "it on the disk. Every sequence begins with a window of 64 rows; its model is an echo-state network of 300 sparse units. Latencies are "
         "from when a step was due, so those of the second run hold the time without a server.")
page.table(["run", "answered", "sent again", "P50 ms", "P99 ms", "longest ms"],
           [(name, f"{one['answered']:,}", f"{one['sent_again']:,}", *(f"{one['latency_ms'][share]:.2f}" for share in ("p50", "p99", "max")))
            for name, one in (("undisturbed", calm), ("killed", rough))])
page.table(["kill", "ready again after", "brought back"],
           [(number, f"{took} ms", rest[-1]) for number, (took, *rest) in enumerate(kills, 1)])
page.end()
PY
