#!/bin/sh
# The long version of the SIGKILL test: about 170 moments, under a minute.
set -eu
cd "$(dirname "$0")/../.."
SLUICE_KILLS="${SLUICE_KILLS:-25}" exec npx vitest run packages/core/test/kill
