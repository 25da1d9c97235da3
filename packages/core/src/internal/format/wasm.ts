/** The two libraries behind Parquet, loaded when first needed: they cost a process 200 ms that reads none. */
import { Effect } from "effect"
import { provide } from "./arrowRows.ts"

export interface Libraries {
  readonly arrow: typeof import("apache-arrow")
  readonly wasm: typeof import("parquet-wasm/node")
}

export const load: Effect.Effect<Libraries> = Effect.promise(async () => {
  const [arrow, wasm] = await Promise.all([import("apache-arrow"), import("parquet-wasm/node")])
  provide((data) => arrow.makeVector(data))
  return { arrow, wasm }
})
