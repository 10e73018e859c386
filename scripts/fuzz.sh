#!/usr/bin/env bash
# Fuzzes everything that strangers send: files, requests of every wire, states. FUZZ_SECONDS (60) a target, or those named. All that it leaves is in target/fuzz;
# the corpora there grow from run to run, and an input that crashes is kept in target/fuzz/crashes.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}

missing=()
command -v c++ >/dev/null || missing+=("a C++ compiler for libFuzzer:  apt-get install g++")
cargo +nightly --version >/dev/null 2>&1 || missing+=("a nightly compiler:  rustup toolchain install nightly")
cargo fuzz --version >/dev/null 2>&1 || missing+=("cargo-fuzz:  cargo install cargo-fuzz --locked")
if [ ${#missing[@]} -gt 0 ]; then
  printf 'make fuzz needs what is not here:\n' >&2
  printf '  %s\n' "${missing[@]}" >&2
  echo "without them, 'cargo test -p spinwell-engine -p spinwell-protocol --test it forged' runs the same on inputs that a seed makes" >&2
  exit 1
fi

work=$PWD/target/fuzz
export CARGO_TARGET_DIR=$work/build
cargo run --quiet --manifest-path fuzz/Cargo.toml --example seeds -- "$work/corpus"
[ $# -gt 0 ] || set -- model_file csv json_body binary_body batch_call grpc_message state
for target in "$@"; do
  dictionary=()
  case $target in json_body | binary_body | batch_call) dictionary=("-dict=$work/corpus/words.dict") ;; esac
  mkdir -p "$work/crashes/$target"
  echo "fuzzing $target for $seconds seconds"
  cargo +nightly fuzz run --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR" "$target" "$work/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 \
    -artifact_prefix="$work/crashes/$target/" -print_final_stats=1 "${dictionary[@]}"
done
echo "make fuzz: no target crashed"
