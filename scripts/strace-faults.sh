#!/usr/bin/env bash
# Lets each system call on the files of the directory fail, one in each run, and checks what is acknowledged and what is there after a kill -9:
# scripts/strace-faults.sh. The normal tests do some of them. Needs strace; elsewhere it says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! strace -qq -o /dev/null true 2>/dev/null; then
  echo "strace-faults.sh: skipped: there is no strace here, or it may not trace"
  exit 0
fi
RUSTCACHE_FAULTS_ALL=1 cargo test --test crash -- --nocapture --exact faults::each_system_call_may_fail_and_nothing_acknowledged_is_lost
