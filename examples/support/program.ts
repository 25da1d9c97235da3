/**
 * What the examples share as programs: an engine with progress on standard error, and errors that end the process with a
 * sentence instead of a stack trace.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Engine, Events, Executor, Program, Progress } from "@sluice/core"
import * as HdfsSchemes from "@sluice/hdfs/HdfsSchemes"
import { Cause, Effect, Layer, Predicate, Result } from "effect"
import { CliError } from "effect/cli"

/** An engine in this process on local files and HDFS, whose client is loaded with the first path that needs it. */
const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal()),
  Layer.provideMerge(Layer.mergeAll(HdfsSchemes.layer, Events.layer))
)

/** The same, and it shows what it does. */
export const layer = Progress.layer().pipe(Layer.provideMerge(engine), Layer.provideMerge(NodeServices.layer))

const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.sync(() => {
    const failure = Cause.findError(cause)
    // The command line has printed its own errors with the help text.
    if (Cause.hasInterruptsOnly(cause) || (Result.isSuccess(failure) && CliError.isCliError(failure.success))) return
    const error = Cause.squash(cause)
    const text = Predicate.isError(error) ? error.message : String(error)
    process.stderr.write(`error: ${text}\n`)
    // A defect is a bug: its stack says where.
    if (Result.isFailure(failure) && Predicate.isError(error)) process.stderr.write(`${error.stack ?? ""}\n`)
  })

/** Runs a command as the main program: exit code 0, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. */
export const runMain = <E>(program: Effect.Effect<void, E, Layer.Success<typeof layer>>): void =>
  Program.runMain(program.pipe(Effect.provide(layer), Effect.tapCause(report)), { disableErrorReporting: true })
