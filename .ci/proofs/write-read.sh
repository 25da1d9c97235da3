#!/usr/bin/env bash
# What text formats write is read back, or refused: the law of packages/core/test/laws, on fixed seeds. Longer: --seeds 10000.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH="$PWD/node_modules/.bin:$PATH"
for format in csv jsonLines text; do
  node --conditions=@sluice/source scripts/write-read.ts --seeds "${SEEDS:-2000}" --seed 20261124 --format "$format"
done
node --conditions=@sluice/source scripts/write-read.ts --seeds "$((${SEEDS:-2000} / 10))" --seed 20261124 --format folders
