#!/bin/sh
# The long versions of the SIGKILL test, about 170 moments, and of the laws of the commit: every moment of every case. A minute.
set -eu
cd "$(dirname "$0")/../.."
# The JSON report stays that of the tests: it is what the last line of .ci/run counts.
SLUICE_KILLS="${SLUICE_KILLS:-25}" exec npx vitest run --reporter=default packages/core/test/commit/kill/Kill.test.ts packages/core/test/commit/CommitLaws.test.ts
