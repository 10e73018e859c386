#!/usr/bin/env bash
# Fuzzes everything that strangers send: files, requests of every wire, states, credentials, parts of a ledger. FUZZ_SECONDS (600) a target, or those named;
# FUZZ_JOBS (1) at a time. All that it leaves is in target/fuzz; the corpora there grow from run to run, and an input that
# crashes is kept in target/fuzz/crashes. A run of all targets writes its table to OUT (docs/results/fuzz.md).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
jobs=${FUZZ_JOBS:-1}
out=${OUT:-docs/results/fuzz.md}
all=(model_file csv json_body binary_body batch_call observations traceparent grpc_message state serving_toml log_entry
  api_key token envelope checkpoint ledger_files receipt)
[ $# -gt 0 ] || set -- "${all[@]}"

work=$PWD/target/fuzz
export CARGO_TARGET_DIR=$work/build
cargo run --quiet --manifest-path fuzz/Cargo.toml --example seeds -- "$work/corpus"
for target in "$@"; do cargo +nightly fuzz build --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR" "$target"; done

fuzz() {
  local target=$1 dictionary=()
  case $target in json_body | binary_body | batch_call | observations) dictionary=("-dict=$work/corpus/words.dict") ;; esac
  mkdir -p "$work/crashes/$target" "$work/logs"
  echo "fuzzing $target for $seconds seconds"
  cargo +nightly fuzz run --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR" "$target" "$work/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 \
    -artifact_prefix="$work/crashes/$target/" -print_final_stats=1 "${dictionary[@]}" >"$work/logs/$target" 2>&1 ||
    { echo "$target crashed:" >&2; tail -n 40 "$work/logs/$target" >&2; }
}

mkdir -p "$work/logs" && touch "$work/logs/started"
for target in "$@"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  fuzz "$target" &
done
wait

# A row of the table, from what libFuzzer said last.
crashed=0
row() {
  local target=$1 log=$work/logs/$1 last executions crashes
  last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -n 1 || true)
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  crashes=$(find "$work/crashes/$target" -type f -newer "$work/logs/started" | wc -l)
  printf '| %s | %s | %s | %s | %s | %s |\n' "$target" "$seconds" "${executions:-?}" \
    "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")" "$(sed -n 's/.* corp: \([0-9]*\).*/\1/p' <<<"$last")" "$crashes"
  # Without its last words a target did not run to its end, whatever it left.
  [ "$crashes" = 0 ] && grep -q '^Done [0-9]* runs' "$log" || crashed=1
}
table=$work/logs/table
{
  echo "| target | seconds | executions | coverage edges | corpus | crashes |"
  echo "|---|---|---|---|---|---|"
  for target in "$@"; do row "$target"; done
} >"$table"
cat "$table"
if [ $# -eq ${#all[@]} ]; then
  processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  changed=$(git diff --quiet HEAD 2>/dev/null || echo " with changes")
  {
    echo "# Fuzzing"
    echo
    echo "Written by \`FUZZ_SECONDS=$seconds FUZZ_JOBS=$jobs make fuzz\` on $(date -u +%F), commit $(git rev-parse --short HEAD)$changed;"
    echo "$processor, $(nproc) logical cores; $(cargo +nightly --version), address sanitizer."
    echo
    cat "$table"
    echo
    echo "Edges and corpus are those at the end, of corpora that grow from run to run. A crash is a panic, a broken promise of the"
    echo "target, an input that takes 20 s, or 4 GB of memory. What each target promises stands in \`fuzz/*.rs\`."
  } >"$out.new"
  mv "$out.new" "$out"
  echo "written to $out"
fi
[ "$crashed" = 0 ] || { echo "make fuzz: a target crashed; inputs are in target/fuzz/crashes, logs in target/fuzz/logs" >&2; exit 1; }
echo "make fuzz: no target crashed"
