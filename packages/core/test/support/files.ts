import type { Shuffle } from "@sluice/core"
import { Effect } from "effect"

/** A shuffle whose files are other than its store makes them. */
export const withFiles = (
  shuffle: Shuffle.Shuffle["Service"],
  change: (file: Shuffle.SpillFile, name: string) => Partial<Shuffle.SpillFile>
): Shuffle.Shuffle["Service"] => ({
  ...shuffle,
  store: {
    ...shuffle.store,
    create: (id, name) => Effect.map(shuffle.store.create(id, name), (file) => ({ ...file, ...change(file, name) }))
  }
})
