#!/usr/bin/env bash
# Sends what schemathesis (PyPI) makes of /openapi.json, right and wrong, to a server with a small taxi model, from a fixed
# seed: EXAMPLES (25) generated requests an operation, beside those that cover every keyword of the schemas. Any answer whose
# status, type, headers or body the document does not describe fails, and so does any 5xx, except those that the document
# offers as worth another try: 503 (SPW-QUEUE-FULL, SPW-STOPPING, SPW-LOG-FAILED, SPW-DATABASE-FAILED) and 504
# (SPW-DEADLINE-EXCEEDED), which a small and busy machine may give to a request that is right.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/server.sh

examples=${EXAMPLES:-25}
[ -n "${BUILT:-}" ] || cargo build --quiet
spinwell=$(realpath "${CARGO_TARGET_DIR:-target}/debug/spinwell")
schemathesis=$PWD/target/venv-schemathesis/bin/schemathesis
work=$(mktemp -d)
at_exit='rm -rf "$work"'
trap 'eval "$at_exit"' EXIT
# Without a season and with few lags, so that the document's short examples are windows that the model takes.
$spinwell train examples/data/nab_nyc_taxi.csv --target value --time timestamp --horizon 2 --season 1 \
  --family linear --set lags=3 --holdout 0 --trials 1 --name taxi --models "$work/models" --json >"$work/train.json"
start_server "$spinwell" "$work/models" "$work/server.log"

# The one server error that the checks let pass is a retryable one; everything else stands as schemathesis has it.
cat >"$work/hooks.py" <<'PY'
import schemathesis

@schemathesis.check
def no_server_error_but_a_retryable_one(ctx, response, case):
    if response.status_code < 500:
        return
    if response.status_code in (503, 504) and response.json().get("retryable") is True:
        return
    raise AssertionError(f"{response.status_code}: {response.text[:300]}")
PY

checks=no_server_error_but_a_retryable_one,status_code_conformance,content_type_conformance
checks+=,response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance

# run NAME URL OPTION..: what the document at URL says, against that listener.
run() {
  local name=$1 url=$2
  shift 2
  echo "schemathesis, $name"
  (cd "$work" && SCHEMATHESIS_HOOKS=hooks "$schemathesis" --config-file "$work/$name.toml" run "$url/openapi.json" --url "$url" --checks "$checks" --seed 1 \
    --max-examples "$examples" --generation-database none --request-timeout 20 --suppress-health-check all \
    --warnings off --no-color --continue-on-failure "$@" >"$work/$name.txt" 2>&1) || {
    cat "$work/$name.txt" >&2
    echo "schemathesis: $name failed; seed 1, $examples examples an operation" >&2
    exit 1
  }
  kill -0 "$server" || { echo "schemathesis: the server has ended" >&2; cat "$work/server.log.err" >&2; exit 1; }
  tail -n 12 "$work/$name.txt"
}

: >"$work/any-names.toml"
: >"$work/operations.toml"
# Names that strangers make up are not found; these runs reach what lies behind the name.
cat >"$work/right-names.toml" <<'TOML'
[parameters]
"path.model" = "taxi"
"path.version" = "1"
"path.sequence" = "stream-7"
"header.Content-Encoding" = "identity"
TOML

# A sequence whose state can be taken away and forked.
curl -sf "http://$http/v2/models/taxi/infer" -o /dev/null -d '{"parameters": {"sequence_id": "stream-7", "sequence_start": true},
  "inputs": [{"name": "series", "shape": [1, 4, 1], "datatype": "FP32", "data": [10844, 8127, 6210, 4656]}]}'

run any-names "http://$http" --exclude-tag "Operations plane"
run right-names "http://$http" --exclude-tag "Operations plane" \
  --exclude-operation-id repositoryModelUnload --exclude-operation-id sequenceStateDelete
run operations "http://$ops" --include-tag "Operations plane"
curl -sf "http://$http/v2/models/taxi/ready" >/dev/null || { echo "schemathesis: the model does not answer any more" >&2; exit 1; }
stop_server
echo "schemathesis: no undocumented status and no server error but retryable ones"
