#!/usr/bin/env bash
# What a request costs stage by stage, for three models, as docs/results/request-cost.md or the file in OUT.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
out=${OUT:-docs/results/request-cost.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

train() {
  "$target/release/spinwell" train examples/data/nab_nyc_taxi.csv --target value --time timestamp --season 1 --horizon 1 \
    --name "$1" --models "$work/models" --json "${@:2}" >"$work/$1.json" 2>"$work/$1.log" || { cat "$work/$1.log" >&2; exit 1; }
}
train linear --family linear --set lags=24
train sparse --family echo --set units=300,density=0.1,skip=off
train dense --family echo --set units=300,density=1,skip=off
{
  echo "# What a request costs"
  echo
  echo "Written by \`make request-cost\` on $(date +%F), commit $(git rev-parse --short HEAD);"
  echo "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1), $(nproc) logical cores. One request at a time, of one window of 64 rows;"
  echo "microseconds are of the lowest tenth of runs, allocations and their bytes those of all threads. What stages mean is told in"
  echo "\`crates/cli/examples/request_cost.rs\`; the caller's own work, over a connection, is in the last but one."
  for model in linear:"24 lags" sparse:"echo, 300 units, 10 %" dense:"echo, 300 units, dense"; do
    printf '\n## %s\n\n' "${model#*:}"
    "$target/release/examples/request_cost" "$work/models" "${model%%:*}" "${SECONDS_EACH:-1}"
  done
} >"$work/page.md"
cp "$work/page.md" "$out.partial"
mv "$out.partial" "$out"
cat "$out"
