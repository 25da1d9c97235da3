import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { Effect, Stream } from "effect"
import type { Source, SplitOptions, Writer } from "../../src/task/Format.ts"
import { Storage } from "../../src/storage/Storage.ts"

export const options: SplitOptions = { splitBytes: 128 * 1024 * 1024, openCostBytes: 4 * 1024 * 1024 }

export const put = (path: string, content: string | Uint8Array) =>
  Effect.flatMap(Storage, (storage) =>
    storage.write(path, Stream.succeed(typeof content === "string" ? Buffer.from(content) : content), {
      overwrite: true
    })
  )

/** The rows of each split. */
export const readSplits = <A>(source: Source<A>, splitOptions: SplitOptions = options) =>
  Effect.flatMap(source.resolve(splitOptions), ({ splits }) =>
    Effect.forEach(splits, (split) => Stream.runCollect(split.read))
  )

export const readAll = <A>(source: Source<A>, splitOptions?: SplitOptions) =>
  Effect.map(readSplits(source, splitOptions), (splits) => splits.flat())

export const write = <A>(path: string, writer: Writer<A>, rows: ReadonlyArray<A>) =>
  Effect.flatMap(Storage, (storage) =>
    storage.write(path, writer.encode(Stream.fromIterable(rows)), { overwrite: true })
  )

const candidates = [process.env["SLUICE_PYTHON"], `${import.meta.dirname}/../../../../.ci/venv/bin/python`]

/** A Python that has pyarrow and duckdb, if there is one. */
export const python = candidates.find(
  (path) => path !== undefined && fs.existsSync(path) && spawnSync(path, ["-c", "import pyarrow, duckdb"]).status === 0
)

export const runPython = (script: string, ...args: ReadonlyArray<string>): string => {
  const result = spawnSync(python ?? "python3", ["-c", script, ...args], { encoding: "utf8", maxBuffer: 2 ** 26 })
  if (result.status !== 0) throw new Error(result.stderr)
  return result.stdout
}

export const skipPython = python === undefined && process.env["SLUICE_REQUIRE_ALL"] !== "1"
