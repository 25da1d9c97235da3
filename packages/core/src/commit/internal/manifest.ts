/** The manifest of an output: what an append finds, and what a commit leaves. */
import { Effect, Option, Schema } from "effect"
import type { Run } from "../../engine/Action.ts"
import type { Backend } from "../../storage/Storage.ts"
import { InvalidManifest, type Reason } from "../../task/JobError.ts"
import type { Claim } from "./claim.ts"
import { filesOf, optional, readText } from "./layout.ts"
import { type Manifest, ManifestJson, type WriteRequest } from "./model.ts"
import { outputFailed } from "./reasons.ts"

/** The files that an append adds to. */
export const previousFiles = Effect.fnUntraced(function* (
  storage: Backend,
  { layout: { output, success }, path }: Claim
): Effect.fn.Return<Manifest["files"], Reason> {
  const invalid = (detail: string) => new InvalidManifest({ path, detail })
  const text = yield* optional(readText(storage, success)).pipe(
    Effect.mapError((error) =>
      error.isRetryable ? outputFailed(error) : invalid(`cannot be read: ${error.reason.message}`)
    )
  )
  if (Option.isNone(text)) {
    const found = yield* Effect.mapError(filesOf(storage, output), outputFailed)
    const others = found.filter((file) => !/^[._]/.test(file))
    if (others.length === 0) return []
    return yield* invalid(
      `is missing, although ${others[0]} exists: it is not known who wrote these files, or whether they are complete`
    )
  }
  return yield* Schema.decodeEffect(ManifestJson)(text.value).pipe(
    Effect.map((manifest) => manifest.files),
    Effect.mapError((error) =>
      invalid(
        text.value === ""
          ? "is empty, as other systems write it: it is not known which files are complete"
          : `is not a manifest of this version: ${error.message}`
      )
    )
  )
})

/** What goes into a manifest. */
export interface Entries {
  readonly run: Pick<Run, "jobId" | "fingerprint">
  readonly request: Pick<WriteRequest<never>, "name" | "writer">
  readonly created: number
  readonly conservation: Manifest["conservation"]
  readonly deadLetters: Manifest["deadLetters"]
  /** Everything that will be in the output. */
  readonly files: Manifest["files"]
}

export const manifestOf = ({ conservation, created, deadLetters, files, request, run }: Entries): Manifest => ({
  version: 1,
  job: run.jobId,
  name: request.name,
  fingerprint: run.fingerprint,
  format: request.writer.format,
  created,
  conservation,
  deadLetters,
  rows: files.reduce((sum, file) => sum + file.rows, 0),
  bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  files
})

/** A manifest as `_SUCCESS` holds it. */
export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, undefined, 2)}\n`
