#!/bin/sh
# Random pipelines against plain arrays, and random Parquet files of four writers with four readers: both from seed 0, for 80 seconds.
# The long versions: `scripts/oracles.ts pipelines --seeds 10000` and `readers --seeds 10000`.
set -eu
cd "$(dirname "$0")/../.."
run() { ./node_modules/.bin/node --conditions=@sluice/source scripts/oracles.ts "$@"; }
status=0
run pipelines --seeds 10000 --seconds "${SLUICE_ORACLE_SECONDS:-45}" || status=1
run readers --seeds 10000 --seconds "${SLUICE_ORACLE_SECONDS:-35}" || status=1
exit "$status"
