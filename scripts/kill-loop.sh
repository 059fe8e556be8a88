#!/usr/bin/env bash
# Kills the daemon at random moments, so many times, 1,000 if not said otherwise, and checks the directory after each: scripts/kill-loop.sh [rounds]
# RUSTCACHE_KILL_SEED repeats the requests and the moments of another run. Ends with 0 if nothing that was acknowledged was lost.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTCACHE_KILL_ROUNDS=${1:-1000} cargo test --test crash -- --nocapture --exact kills::what_was_acknowledged_survives_a_kill_at_any_moment
