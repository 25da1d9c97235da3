import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, expect } from "vitest"

declare global {
  var mutateHits: Set<string> | undefined
}

// The functions that the probes of the mutation script saw while this test file ran.
afterAll(() => {
  const folder = process.env["MUTATE_HITS"]
  const { testPath } = expect.getState()
  if (folder === undefined || testPath === undefined || globalThis.mutateHits === undefined) return
  const file = Path.relative(process.cwd(), testPath)
  Fs.writeFileSync(Path.join(folder, encodeURIComponent(file)), [...globalThis.mutateHits].join("\n"))
})
