import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

// Tests run the sources: the condition below is the first key of every package's exports.
const conditions = ["@sluice/source", "node", "import", "default"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ["packages/*/test/**/*.test.ts", "examples/test/**/*.test.ts", "tools/test/**/*.test.ts"],
    reporters: ["default", "json"],
    outputFile: { json: ".reports/test.json" },
    // As the npm scripts do: programs that tests start begin in half the time.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL(".cache/node", import.meta.url)) },
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})
