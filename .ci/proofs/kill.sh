#!/bin/sh
# The long version of the SIGKILL test: about 170 moments, under a minute.
set -eu
cd "$(dirname "$0")/../.."
# The JSON report stays that of the tests: it is what the last line of .ci/run counts.
SLUICE_KILLS="${SLUICE_KILLS:-25}" exec npx vitest run --reporter=default packages/core/test/kill
