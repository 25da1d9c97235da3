#!/bin/sh
# The long version of the SIGKILL test: about 400 moments, two minutes.
set -eu
cd "$(dirname "$0")/../.."
SLUICE_KILLS="${SLUICE_KILLS:-60}" exec npx vitest run packages/core/test/kill
