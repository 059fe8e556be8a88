#!/bin/sh
# Asks the daemon whatever its OpenAPI document allows, and a good deal that it does not: no answer may be 5xx, or other than the document says.
#
#     scripts/schemathesis.sh [BINARY] [EXAMPLES]      # needs Python 3.10 or newer; schemathesis is installed into target/schemathesis
set -eu
cd "$(dirname "$0")/.."
binary=${1:-target/release/rustcache}
examples=${2:-100}
venv=target/schemathesis
[ -x "$venv/bin/schemathesis" ] || {
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.32.5'
}
log=$(mktemp)
"$binary" --http 127.0.0.1:0 --http-timeout 2s 2>"$log" &
daemon=$!
trap 'kill $daemon 2>/dev/null; rm -f "$log"' EXIT
until url=$(sed -n 's/^rustcache: serving //p' "$log") && [ -n "$url" ]; do
  kill -0 $daemon
  sleep 0.1
done
# The events have no end.
"$venv/bin/schemathesis" run "${url}openapi.json" --exclude-path /v1/events --max-examples "$examples" --no-color \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method
