#!/bin/sh
# Kills a job, and fails its calls, at system calls of its commit, in every mode; for a minute, or all of them with `--all` (half an hour).
set -eu
cd "$(dirname "$0")/../.."
proof() {
  ./node_modules/.bin/node --conditions=@sluice/source packages/core/test/commit/kill/syscalls.ts "$@"
}
if [ "${1:-}" = --all ]; then
  proof
  proof --error ENOSPC
  proof --error EIO
else
  proof --every 9 --seconds 35
  proof --every 17 --seconds 12 --error ENOSPC
  proof --every 19 --seconds 12 --error EIO
fi
