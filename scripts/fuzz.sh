#!/usr/bin/env bash
# Runs every fuzzer for some seconds each, 60 if not said otherwise: scripts/fuzz.sh [seconds]. Ends with 1 if any of them found something.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}

# The golden frames are the first seeds of those that read frames.
seeds() {
  local directory=fuzz/corpus/$1 protocol=$2 number=0 hex
  mkdir -p "$directory"
  while read -r hex; do
    number=$((number + 1))
    printf "$(printf '%s' "$hex" | tr -d ' ' | sed 's/../\\x&/g')" >"$directory/golden-$number"
  done < <(sed -n "s/.*\"protocol\": $protocol,.*\"hex\": \"\([0-9a-f ]*\)\".*/\1/p" tests/golden.json)
}
seeds fixed 1
seeds framed 2

# Of each kind of request one, to begin with.
requests() {
  local directory=fuzz/corpus/http number=0 request method path body
  mkdir -p "$directory"
  while read -r method path body; do
    number=$((number + 1))
    request="$method $path HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\nContent-Type: application/json\r\nContent-Length: ${#body}\r\n\r\n"
    printf "$request%s" "$body" >"$directory/request-$number"
  done <<'END'
PUT /v1/entries/k?ttl=60 {"n":1}
GET /v1/entries/k?peek=true
DELETE /v1/entries?prefix=k
GET /v1/keys?prefix=k&match=k*&limit=10&cursor=
POST /v1/batch {"operations":[{"op":"set","key":"k","base64":"AP8=","type":"image/png","ttl":1.5,"if":"absent"},{"op":"get","key_base64":"/wA="},{"op":"delete","key":"k"}]}
POST /v1/incr {"key":"n","delta":-1,"ttl":"never"}
POST /v1/transactions {"if":[{"key":"k","value":{"n":1.0}},{"key":"n","absent":false},{"key":"e","etag":"*"}],"operations":[{"op":"set","key":"k","value":null}]}
GET /v1/top?limit=5
GET /v1/stats
GET /metrics
PUT /kv/insert {"key":"k","value":[1,"x",null],"ttl":1e3}
GET /kv/k
DELETE /kv/delete/k
GET /
END
}
requests

found=()
for target in fixed framed session engine journal snapshot directory http; do
  printf '\n=== %s\n' "$target"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=8192 -len_control=10 -malloc_limit_mb=256 -print_final_stats=1 || found+=("$target")
done
if [ ${#found[@]} -gt 0 ]; then
  printf '\nfound something: %s; see fuzz/artifacts\n' "${found[*]}"
  exit 1
fi
printf '\nnothing found in %s s each\n' "$seconds"
