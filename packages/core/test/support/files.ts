import type { Shuffle } from "@sluice/core"
import { Effect } from "effect"
import type { SpillFile } from "../../src/shuffle/internal/store.ts"

/** A shuffle whose files are other than its store makes them. */
export const withFiles = (
  shuffle: Shuffle.Shuffle["Service"],
  change: (file: SpillFile, name: string) => Partial<SpillFile>
): Shuffle.Shuffle["Service"] => ({
  ...shuffle,
  store: {
    ...shuffle.store,
    create: (id, name) => Effect.map(shuffle.store.create(id, name), (file) => ({ ...file, ...change(file, name) }))
  }
})
