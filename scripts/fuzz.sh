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

found=()
for target in fixed framed session engine journal snapshot directory; do
  printf '\n=== %s\n' "$target"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=8192 -len_control=10 -malloc_limit_mb=256 -print_final_stats=1 || found+=("$target")
done
if [ ${#found[@]} -gt 0 ]; then
  printf '\nfound something: %s; see fuzz/artifacts\n' "${found[*]}"
  exit 1
fi
printf '\nnothing found in %s s each\n' "$seconds"
