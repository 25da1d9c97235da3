/**
 * Writes a dataset's partitions as files that appear all at once or not at all.
 *
 * Before the first row, the driver takes the lease on the output, so that no other job writes it. Each task writes a
 * file in an attempt folder beside the output. When all have succeeded, one rename makes the directory appear, with
 * `_SUCCESS` in it: a manifest of files, rows, checksums and splits.
 *
 * **Details**
 *
 * A task writes under `<parent>/_sluice/<name>/<job>/<partition>-<attempt>/`, beside the output `<parent>/<name>`, so
 * that the commit of the job is one rename of a directory, which file systems and HDFS do atomically. Whenever the
 * process is killed, and whenever somebody reads, either the whole output with its `_SUCCESS` is at the final name, or
 * nothing is. `overwrite` moves the old output aside first, and the next run puts it back if a kill came between the
 * two renames. `append` writes down what it will do (its intent) and then renames one file after another. Its commit is
 * the rename of the next `_SUCCESS` over the old one. A run that finds the intent of a dead job undoes everything
 * before that rename, so that running the dead job again doubles nothing. If the output cannot be replaced as a whole
 * (it is a mount point, or its parent may not be written), all this happens inside it, under `<name>/_sluice/`, file by
 * file.
 *
 * One job at a time writes an output. It takes a lease on it before its first row, renews it every 10 seconds, and
 * loses it after 60 seconds without renewal; see {@link WhenLeased}. Once an output is committed, the action has
 * succeeded: an interrupt during the renames does not make it fail.
 *
 * Rows can be put into `column=value` folders below the output, as Hive and Spark do ({@link PartitionBy}); the same rename moves
 * them all.
 *
 * `_SUCCESS` holds a {@link Manifest} as JSON. Hadoop, Spark, pyarrow and Sluice all skip names that begin with `_`.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Option, Schema } from "effect"
import { bytes, firstOf, oneOf, optional } from "../codec/internal/checks.ts"
import { Action } from "../engine/Action.ts"
import type { Plan } from "../plan/Plan.ts"
import { Storage } from "../storage/Storage.ts"
import type { Writer } from "../task/Format.ts"
import { InvalidPlan } from "../task/JobError.ts"
import { layoutOfJob } from "./internal/claim.ts"
import { drive } from "./internal/drive.ts"
import { parentOf, readText, trim } from "./internal/layout.ts"
import {
  type Manifest,
  ManifestJson,
  type OutputOptions,
  type PartitionBy,
  type WriteRequest
} from "./internal/model.ts"
import { writePartitionOrLines } from "./internal/partition.ts"
import { toReason } from "./internal/reasons.ts"

export {
  Manifest,
  type OutputOptions,
  type PartitionBy,
  type PartitionColumn,
  type WhenLeased,
  type WriteMode
} from "./internal/model.ts"

/**
 * Reads the manifest of an output.
 *
 * @category getters
 * @since 0.1.0
 */
export const readManifest = Effect.fn("Commit.readManifest")(function* (path: string) {
  const storage = yield* Storage
  return yield* readText(storage, `${trim(path)}/_SUCCESS`).pipe(Effect.flatMap(Schema.decodeEffect(ManifestJson)))
})

/**
 * The action that writes a plan's rows as files of one format into a directory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const write = <A, E, R>(
  plan: Plan,
  path: string,
  writer: Writer<A>,
  options?: OutputOptions & { readonly partitionBy?: PartitionBy<A> | undefined }
): Action<Manifest, E, R> => {
  const output = trim(path)
  const name = `write ${writer.format} ${output}`
  const mode = options?.mode ?? "error-if-exists"
  const waits = (options?.whenLeased ?? (mode === "append" ? "wait" : "refuse")) === "wait"
  const leaseWait = Duration.fromInput(options?.leaseWait ?? "10 minutes")
  const waitMillis = waits ? Option.match(leaseWait, { onNone: () => 0, onSome: Duration.toMillis }) : 0
  const request: WriteRequest<A> = { path: output, writer, name, mode, waitMillis, partitionBy: options?.partitionBy }
  const names = options?.partitionBy?.columns.map((column) => column.name) ?? []
  const twice = names.find((name, index) => names.indexOf(name) < index)
  const invalid =
    parentOf(output)[1] === ""
      ? "the output must be a directory below the root"
      : twice !== undefined
        ? `partitionBy names ${JSON.stringify(twice)} twice`
        : firstOf(
            oneOf("mode", mode, ["error-if-exists", "overwrite", "append"]),
            optional(options?.whenLeased, (when) => oneOf("whenLeased", when, ["refuse", "wait"])),
            Option.isNone(leaseWait) ? 'leaseWait has to be a duration, such as "10 minutes"' : undefined,
            optional(options?.partitionBy?.bufferBytes, (size) => bytes("partitionBufferBytes", size)),
            writer.invalid
          )
  return new Action({
    name,
    plan,
    task: writePartitionOrLines(request),
    takesLines: writer.lines !== undefined && options?.partitionBy === undefined,
    letters: (job) =>
      Effect.mapBoth(layoutOfJob(output, job), { onFailure: toReason, onSuccess: ({ letters }) => letters }),
    drive:
      invalid === undefined ? drive(request) : () => Effect.fail(new InvalidPlan({ operator: name, detail: invalid })),
    commits: true
  })
}
