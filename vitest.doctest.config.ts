import { defineConfig, mergeConfig } from "vitest/config"
import base from "./vitest.config.ts"

const config = mergeConfig(base, defineConfig({}))
config.test.include = [".doctest/*.test.ts"]
config.test.outputFile = { json: ".reports/doctest.json" }

export default config
