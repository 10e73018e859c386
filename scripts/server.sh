# Sourced by the other scripts: starts a spinwell server on free ports and stops it again.
# A script that has more to clean up puts the command into $at_exit.
# start_server BINARY MODELS LOG [OPTION..] sets $http, $grpc, $ops (host:port) and $server (process id).

stop_server() {
  if [ -n "${server:-}" ] && kill -0 "$server" 2>/dev/null; then
    kill -TERM "$server"
    wait "$server" || echo "the server ended with status $?" >&2
  fi
  server=
}

start_server() {
  local binary=$1 models=$2 log=$3
  shift 3
  "$binary" serve --data "$(dirname "$models")" --models "$models" --http 127.0.0.1:0 --grpc 127.0.0.1:0 --ops 127.0.0.1:0 "$@" >"$log" 2>"$log.err" &
  server=$!
  trap 'stop_server; eval "${at_exit:-}"' EXIT
  for _ in $(seq 200); do
    kill -0 "$server" 2>/dev/null || { echo "the server did not start:" >&2; cat "$log.err" >&2; exit 1; }
    http=$(address 'inference, HTTP' "$log"); grpc=$(address 'inference, gRPC' "$log"); ops=$(address 'metrics and health' "$log")
    if [ -n "$http" ] && [ -n "$grpc" ] && [ -n "$ops" ]; then return; fi
    sleep 0.05
  done
  echo "the server did not say where it listens:" >&2; cat "$log" "$log.err" >&2; exit 1
}

# The address that the server printed for one listener, once it is ready.
address() { grep -q '^ready' "$2" && sed -n "s#^serving [a-z]*://\([0-9.:]*\) ($1)#\1#p" "$2" || true; }
