/**
 * The two libraries behind Parquet, loaded when first needed, because loading takes 150 ms even in a process that reads
 * no Parquet.
 */
import { createRequire } from "node:module"
import type * as Arrow from "apache-arrow"
import { Effect } from "effect"
import type * as ParquetWasm from "parquet-wasm/node"
import { provide } from "./getters.ts"

type Wasm = typeof ParquetWasm

export interface Libraries {
  readonly arrow: typeof Arrow
  /** Runs a synchronous use of the codec. No object of the codec may leave it. */
  readonly codec: <A>(use: (wasm: Wasm) => A) => A
}

// The memory of an instance never shrinks, so an instance that had to grow beyond this for a single row group is
// dropped.
const maxMemory = 512 * 1024 * 1024

const id = "parquet-wasm/node"

// Each instance has its own `require`, which keeps the module alive and is dropped with it.
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
    // After a trap, the state of the instance's memory is unknown. An error that the codec returned is a plain `Error`.
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
