#!/usr/bin/env bash
# Cuts the power of a disk at random moments, so many times, and checks what is there afterwards: scripts/power-cuts.sh [cycles] [always|everysec]
# The disk is an ext4 in a file, and the cut is FS_IOC_SHUTDOWN: what was not synced is gone. 300 cycles with always, 20 with everysec, if not said
# otherwise. Needs root and loop devices; elsewhere it says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
sync=${2:-always}
case $sync in
  always) cycles=${1:-300} ;;
  everysec) cycles=${1:-20} ;;
  *) echo "power-cuts.sh: $sync is neither always nor everysec" >&2; exit 2 ;;
esac
skip() {
  echo "power-cuts.sh: skipped: $1"
  exit 0
}
[ "$(id -u)" = 0 ] || skip "only root can mount a disk"
for tool in mkfs.ext4 mount umount python3; do
  command -v "$tool" >/dev/null || skip "there is no $tool"
done

place=$(mktemp -d)
mkdir "$place/mount"
cleanup() {
  while mountpoint -q "$place/mount"; do umount -l "$place/mount"; done
  rm -rf "$place"
}
trap cleanup EXIT
truncate -s 256M "$place/image"
mkfs.ext4 -q "$place/image"
mount -o loop "$place/image" "$place/mount" 2>/dev/null || skip "loop devices cannot be mounted here"
umount "$place/mount"

export RUSTCACHE_POWER_IMAGE=$place/image RUSTCACHE_POWER_MOUNT=$place/mount
export RUSTCACHE_POWER_CYCLES=$cycles RUSTCACHE_POWER_SYNC=$sync
cargo test --test crash -- --ignored --nocapture --exact power::what_was_synced_survives_power_cuts
