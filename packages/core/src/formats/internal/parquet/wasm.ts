/** The two libraries behind Parquet, loaded when first needed: they cost a process 150 ms that reads none. */
import { createRequire } from "node:module"
import type * as Arrow from "apache-arrow"
import { Effect } from "effect"
import type * as ParquetWasm from "parquet-wasm/node"
import { provide } from "./getters.ts"

type Wasm = typeof ParquetWasm

export interface Libraries {
  readonly arrow: typeof Arrow
  /** Runs a synchronous use of the codec. Nothing of the codec may leave it. */
  readonly codec: <A>(use: (wasm: Wasm) => A) => A
}

// The memory of an instance never shrinks, so one that had to grow beyond this for a single row group is given up.
const maxMemory = 512 * 1024 * 1024

const id = "parquet-wasm/node"

// Each instance with a `require` of its own: that keeps the module alive, and goes with it.
const instantiate = (): Wasm => {
  const require = createRequire(import.meta.url)
  const wasm: Wasm = require(id)
  delete require.cache[require.resolve(id)]
  return wasm
}

let instance: Wasm | undefined

const codec = <A>(use: (wasm: Wasm) => A): A => {
  instance ??= instantiate()
  try {
    const result = use(instance)
    if (instance.wasmMemory().buffer.byteLength > maxMemory) instance = undefined
    return result
  } catch (error) {
    // After a trap the memory of the instance is in no known state. An error that the codec returned is a plain `Error`.
    if (error instanceof Error && (error.name === "RuntimeError" || error.name === "RangeError")) instance = undefined
    throw error
  }
}

let libraries: Promise<Libraries> | undefined

export const load: Effect.Effect<Libraries> = Effect.promise(
  () =>
    (libraries ??= import("apache-arrow").then((arrow) => {
      provide((data) => arrow.makeVector(data))
      return { arrow, codec }
    }))
)
