/**
 * The command line that all examples share. `--input`, `--output`, `--mode` and `--help` mean the same in each; progress and errors
 * go to standard error; an error is a sentence and what to do next, and a stack trace only where it is a bug.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Commit, Engine, Events, Executor, type Job, Program, Progress } from "@sluice/core"
import * as HdfsSchemes from "@sluice/hdfs/HdfsSchemes"
import { Cause, Console, Effect, Layer, Option, Predicate, Result, Schema } from "effect"
import { CliConfig, CliError, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import { fileURLToPath } from "node:url"

/** What to do if the output exists. */
export const Mode = Schema.Literals(["error-if-exists", "overwrite", "append"])

/** Where a job reads and writes, for its payload. */
export const Paths = { input: Schema.String, output: Schema.String, mode: Mode }

/** What an example reads unless `--input` names something else. */
export interface Sample {
  readonly path: string
  /** The kind of path that `--input` takes. */
  readonly kind: string
  readonly name: string
}

/** The text that most examples read. */
export const dictionary: Sample = {
  path: fileURLToPath(new URL("../data/devils-dictionary.txt", import.meta.url)),
  kind: "Text file, directory or glob",
  name: "The Devil's Dictionary"
}

const path = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("path"), Flag.withDescription(description), Flag.optional)

const input = (sample: Sample) => path("input", `${sample.kind} (default: ${sample.name})`)

/** The flag of an example that reads: `--input`. */
export const reads = (sample: Sample) => ({
  input: Flag.map(
    input(sample),
    Option.getOrElse(() => sample.path)
  )
})

/** The values of the flags of {@link writes}, with their defaults. */
export interface Files {
  readonly input: string
  readonly output: string
  readonly mode: typeof Mode.Type
  /** Whether no `--input` was given. */
  readonly isSample: boolean
}

/** The flags of an example that reads and writes: `--input`, `--output` and `--mode`, for {@link files}. */
export const writes = (name: string, sample: Sample, format: string) => ({
  input: Flag.map(input(sample), (path) => ({ path, sample })),
  output: Flag.map(path("output", `Directory to write ${format} into (default: out/${name})`), (path) => ({
    path,
    own: `out/${name}`
  })),
  mode: Flag.Literals("mode", Mode.literals).pipe(
    Flag.withDescription(
      "What to do if the output exists (default: error-if-exists; overwrite without --input and --output)"
    ),
    Flag.optional
  )
})

/** The values of a record of flags. */
export type Values<Flags> = { readonly [Name in keyof Flags]: Flags[Name] extends Flag.Flag<infer A> ? A : never }

/** Resolves the flags of {@link writes}. Only the result of an example's own data at its own place is replaced unasked. */
export const files = ({ input, mode, output }: Values<ReturnType<typeof writes>>): Files => ({
  input: Option.getOrElse(input.path, () => input.sample.path),
  output: Option.getOrElse(output.path, () => output.own),
  mode: Option.getOrElse(mode, () =>
    Option.isNone(input.path) && Option.isNone(output.path) ? "overwrite" : "error-if-exists"
  ),
  isSample: Option.isNone(input.path)
})

/** A flag that takes a whole number, at least 1 unless `least` says otherwise. */
export const wholeNumber = (name: string, description: string, options: { default: number; least?: number }) => {
  const least = options.least ?? 1
  return Flag.Int(name).pipe(
    Flag.filter(
      (value) => value >= least,
      () => `a whole number, at least ${least}`
    ),
    Flag.withDescription(`${description} (default: ${options.default})`),
    Flag.withDefault(options.default)
  )
}

/** `8,525`. The first call of `toLocaleString` would take 15 ms. */
export const count = (value: number): string => String(value).replaceAll(/\B(?=(?:\d{3})+$)/g, ",")

/** `0.74 s` */
export const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

/** Prints `8,525 lines sorted in 0.74 s: text files in out/sort: 8`. */
export const wrote = (what: string, { millis, value }: Job.Report<Commit.Manifest>, where: string) =>
  Console.log(`${count(value.rows)} ${what} in ${seconds(millis)}: ${where}: ${value.files.length}`)

// A wrong flag gets a short answer on standard error, not the whole help on standard output.
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(
          event.errors,
          ({ message }) =>
            Console.error(
              `error: ${event.commandPath.join(" ")}: ${message.replaceAll(/\n\s*\n/g, "\n")}\n  what to do: see --help`
            ),
          { discard: true }
        )
      : CliOutput.defaultPresenter.present(event)
})

/** Runs a command with the arguments of the process. */
export const run = <const Name extends string, Input, E, R, Context>(
  command: Command.Command<Name, Input, Context, E, R>
) =>
  Command.run(command, { version: "0.1.0" }).pipe(
    Effect.provide([presenter, CliConfig.layer({ builtIns: [GlobalFlag.Help] })])
  )

/** An engine in this process on local files and HDFS, whose client is loaded with the first path that needs it. */
const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal()),
  Layer.provideMerge(Layer.mergeAll(HdfsSchemes.layer, Events.layer))
)

/** The same engine, with progress on standard error. */
const layer = Progress.layer().pipe(Layer.provideMerge(engine), Layer.provideMerge(NodeServices.layer))

// Hints name options of the library; on the command line they are flags.
const withFlags = (text: string): string => text.replaceAll(/\bmode: "([a-z-]+)"/g, "--mode $1")

const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.sync(() => {
    const failure = Cause.findError(cause)
    // The presenter has already said what is wrong with the flags.
    if (Cause.hasInterruptsOnly(cause) || (Result.isSuccess(failure) && CliError.isCliError(failure.success))) return
    const error = Cause.squash(cause)
    process.stderr.write(`error: ${withFlags(Predicate.isError(error) ? error.message : String(error))}\n`)
    // A defect is a bug: its stack says where.
    if (Result.isFailure(failure) && Predicate.isError(error)) process.stderr.write(`${error.stack ?? ""}\n`)
  })

/** Nobody can read what a command printed. */
class NotPrinted extends Schema.TaggedError<NotPrinted>("@sluice/examples/NotPrinted")("NotPrinted", {
  detail: Schema.String
}) {
  override get message(): string {
    return `standard output: ${this.detail}\n  what to do: make room where it is written to, or send it elsewhere`
  }
}

/** Waits until all that was printed is written, and fails if some of it could not be: `console.log` ignores that. */
const printed = Effect.callback<void, NotPrinted>((resume) => {
  const { stdout } = process
  stdout.on("error", () => {})
  stdout.write("", () => {
    const error: NodeJS.ErrnoException | null = stdout.errored
    // A reader that left, as `head` does, has what it wanted.
    resume(error === null || error.code === "EPIPE" ? Effect.void : new NotPrinted({ detail: error.message }))
  })
})

/** Runs a command as the main program: exit code 0, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. */
export const runMain = <E>(program: Effect.Effect<void, E, Layer.Success<typeof layer>>): void =>
  Program.runMain(program.pipe(Effect.andThen(printed), Effect.provide(layer), Effect.tapCause(report)), {
    disableErrorReporting: true
  })
