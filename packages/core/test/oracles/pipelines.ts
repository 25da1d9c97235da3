/** Random pipelines: made from a seed, run, compared with the arrays, and made smaller when they differ. */
import { Dataset, Engine, EngineConfig, Events, Executor, JobError, Shuffle, Storage, StorageError } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { Cause, Deferred, Effect, Exit, Layer, Option, Stream } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type Action, actions, isPromised } from "./actions.ts"
import { Inapplicable, isClean, type Model, need, type Rows } from "./model.ts"
import { factsOf } from "./facts.ts"
import { type Env, isBinary } from "./operator.ts"
import { operators } from "./operators.ts"
import { datasetOf, modelOf } from "./sources.ts"
import {
  type Act,
  type Cell,
  type Fault,
  faults,
  type Op,
  type Pipe,
  Random,
  type Settings,
  type Source,
  sources,
  type Spec
} from "./spec.ts"

// ---------------------------------------------------------------------------------------------------------------------
// From a seed
// ---------------------------------------------------------------------------------------------------------------------

const operatorNames = Object.keys(operators)
// One that finds an output in use waits in real time: seldom.
const waiting = "append at once"
const actionNames = Object.keys(actions).filter((name) => name !== waiting)
// What has gone wrong most often meets most often.
const favourites = [
  "cache",
  "tap",
  "take each",
  "rechunk",
  "union",
  "mapEffect",
  "failing",
  "catch",
  "filter",
  "a random key"
]

const mostItems = 1500

const randomSource = (random: Random): Source => {
  const kind = random.chance(0.5) ? "iterable" : random.pick(sources)
  const count = random.pick([1, 1, 2, 3, 4, 7])
  const most = random.pick([0, 1, 3, 10, 30])
  return {
    kind,
    parts: Array.from({ length: count }, () =>
      Array.from({ length: random.int(most + 1) }, (): Cell => [random.int(13), random.int(1009)])
    ),
    pool: random.int(5),
    chunk: 1 + random.int(9),
    min: kind === "iterable" || random.chance(0.6) ? 0 : random.int(700),
    bad: random.chance(0.3) ? 1 + random.int(5) : 0
  }
}

const randomOp = (random: Random, self: Model, depth: number): Op => {
  const name = random.chance(0.35) ? random.pick(favourites) : random.pick(operatorNames)
  const op = { name, a: random.int(1000), b: random.int(1000) }
  const operator = operators[name]
  if (operator === undefined || !isBinary(operator)) return op
  if (depth >= 2) throw new Inapplicable()
  // Zips need equal partitions, which two datasets seldom have.
  const source = random.chance(name.startsWith("zip") ? 0.9 : 0.4) ? "self" : randomSource(random)
  return { ...op, other: { source, ops: randomOps(random, source === "self" ? self : modelOf(source), depth + 1) } }
}

const randomOps = (random: Random, start: Model, depth: number): ReadonlyArray<Op> => {
  const ops: Array<Op> = []
  let model = start
  const length = random.int(depth === 0 ? 9 : 4)
  for (let tries = 0; ops.length < length && tries < 100; tries++) {
    try {
      const op = randomOp(random, model, depth)
      const next = applyOp(model, op)
      if (next.items.length > mostItems) continue
      ops.push(op)
      model = next
    } catch (error) {
      if (!(error instanceof Inapplicable)) throw error
    }
  }
  if (!isClean(model) && random.chance(0.9)) ops.push({ name: "catch", a: 0, b: 0 })
  return ops
}

const randomFault = (random: Random): Fault => ({
  kind: random.pick(faults),
  nth: 1 + random.int(random.pick([1, 3, 8, 30])),
  times: random.pick([1, 1, 1, 2, 3])
})

const randomSettings = (random: Random): Settings => ({
  slots: 1 + random.int(4),
  executors: random.pick([1, 1, 1, 2, 3]),
  disk: random.chance(0.1),
  memoryBytes: random.pick([64 * 1024 * 1024, 64 * 1024 * 1024, 16 * 1024, 4 * 1024, 1024]),
  adaptive: random.pick(["off", "default", "tiny"]),
  broadcast: random.chance(0.5),
  cacheBytes: random.pick([256 * 1024 * 1024, 256 * 1024 * 1024, 4000, 600, 0]),
  splitBytes: random.pick([128 * 1024 * 1024, 200, 60])
})

/** The pipeline of a seed. */
export const specOf = (seed: number): Spec => {
  const random = new Random(seed)
  const source = randomSource(random)
  const ops = randomOps(random, modelOf(source), 0)
  const faulty = random.chance(0.5)
  const acts = Array.from({ length: 1 + random.int(4) }, (): Act => ({
    name: random.chance(0.002) ? waiting : random.pick(actionNames),
    a: random.int(1000),
    ...(faulty && random.chance(0.5) ? { fault: randomFault(random) } : {})
  }))
  // Interrupts and throws come from a step of the pipeline.
  const stops = acts.some(({ fault }) => fault?.kind === "interrupt" || fault?.kind === "throw")
  const pipe = { source, ops: stops ? ops.toSpliced(random.int(ops.length + 1), 0, { name: "tap", a: 0, b: 0 }) : ops }
  return { settings: randomSettings(random), pipe, acts }
}

// ---------------------------------------------------------------------------------------------------------------------
// On arrays, and as a dataset
// ---------------------------------------------------------------------------------------------------------------------

const operatorOf = (op: Op) => {
  const operator = operators[op.name]
  if (operator === undefined) throw new RangeError(`no operator ${op.name}`)
  return operator
}

const applyOp = (self: Model, op: Op): Model => {
  const operator = operatorOf(op)
  if (!isBinary(operator)) return operator.model(self, op)
  need(op.other !== undefined)
  return operator.model2(self, op.other === undefined ? self : applyPipe(op.other, self), op)
}

const applyPipe = (pipe: Pipe, self: Model): Model =>
  pipe.ops.reduce(applyOp, pipe.source === "self" ? self : modelOf(pipe.source))

const nothing: Model = { items: [], parts: undefined, ordered: false }

/** What the pipeline should yield; throws `Inapplicable` for one that promises nothing. */
const expected = (spec: Spec): Model => {
  need(spec.pipe.source !== "self")
  return applyPipe(spec.pipe, nothing)
}

type Services = Engine.Engine | Storage.Storage

const build = Effect.fnUntraced(function* (
  pipe: Pipe,
  self: Rows,
  env: Env
): Effect.fn.Return<Rows, unknown, Services> {
  let rows: Rows = pipe.source === "self" ? self : yield* datasetOf(pipe.source, env.folder)
  for (const op of pipe.ops) {
    const operator = operatorOf(op)
    if (isBinary(operator)) {
      const that = op.other === undefined ? rows : yield* build(op.other, rows, env)
      rows = operator.build2(rows, that, op, env)
    } else {
      const built = operator.build(rows, op, env)
      rows = Dataset.isDataset(built) ? built : yield* built
    }
  }
  return rows
})

// ---------------------------------------------------------------------------------------------------------------------
// Engine and faults
// ---------------------------------------------------------------------------------------------------------------------

/** What is to go wrong now. */
interface Armed {
  fault: Fault | undefined
  calls: number
  readonly reached: Deferred.Deferred<never, Interrupted>
}

const unarmed = (): Armed => ({ fault: undefined, calls: 0, reached: Deferred.makeUnsafe() })

class Interrupted extends Error {}

class OnPurpose extends Error {}

/** Whether this call of something is one that a fault is to hit. */
const hits = (armed: Armed, kind: Fault["kind"]): boolean => {
  const { fault } = armed
  if (fault?.kind !== kind) return false
  armed.calls++
  return armed.calls >= fault.nth && armed.calls < fault.nth + fault.times
}

/** A shuffle that loses and damages files, and knows which there are. */
const faultyShuffle = (
  base: Layer.Layer<Shuffle.Shuffle, Shuffle.ShuffleError>,
  armed: () => Armed,
  files: Set<string>
) =>
  Layer.effect(
    Shuffle.Shuffle,
    Effect.map(Shuffle.Shuffle, ({ store, ...shuffle }) => {
      const remove = (id: string) =>
        Effect.tap(store.remove(id), () =>
          Effect.sync(() => {
            for (const name of files) if (name.startsWith(`${id}/`)) files.delete(name)
          })
        )
      return {
        ...shuffle,
        remove,
        store: {
          ...store,
          remove,
          create: Effect.fnUntraced(function* (id: string, name: string) {
            const file = yield* store.create(id, name)
            let kept = false
            yield* Effect.acquireRelease(
              Effect.sync(() => files.add(`${id}/${name}`)),
              () => Effect.sync(() => kept || files.delete(`${id}/${name}`))
            )
            return {
              ...file,
              keep: Effect.tap(file.keep, () => Effect.sync(() => (kept = true))),
              append: (parts: ReadonlyArray<Uint8Array>) =>
                Effect.suspend(() =>
                  hits(armed(), "shuffle full")
                    ? Effect.fail(new Shuffle.NoSpace({ file: file.file, detail: "on purpose" }))
                    : file.append(parts)
                )
            }
          }),
          open: Effect.fnUntraced(function* (status: Parameters<typeof store.open>[0]) {
            if (hits(armed(), "shuffle missing")) return yield* new Shuffle.Missing({ file: status.file })
            if (hits(armed(), "shuffle unavailable"))
              return yield* new Shuffle.Unavailable({ file: status.file, detail: "on purpose" })
            const source = yield* store.open(status)
            return {
              ...source,
              read: (offset: number, length: number) =>
                Effect.map(source.read(offset, length), (bytes) => {
                  const middle = bytes.length >> 1
                  const byte = bytes[middle]
                  if (byte !== undefined && hits(armed(), "shuffle corrupt")) bytes[middle] = byte ^ 0x10
                  return bytes
                })
            }
          })
        }
      }
    })
  ).pipe(Layer.provide(base))

const adaptive: Readonly<Record<Settings["adaptive"], Partial<EngineConfig.EngineConfig>>> = {
  off: { adaptive: false },
  default: {},
  tiny: { targetPartitionBytes: 40, minPartitionBytes: 40, skewBytes: 20, skewFactor: 1 }
}

const layerOf = (settings: Settings, directory: string, armed: () => Armed, files: Set<string>) => {
  const { memoryBytes } = settings
  const shuffle = settings.disk ? Shuffle.layerDisk({ memoryBytes, directory }) : Shuffle.layerMemory({ memoryBytes })
  const executors = Array.from({ length: settings.executors }, (_, i) => ({ host: `host-${i}`, slots: settings.slots }))
  return Layer.fresh(Engine.layerWithShuffle).pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provideMerge(
      Layer.mergeAll(
        FaultyStorage.layer(Storage.layerMemory),
        Layer.fresh(Events.layer),
        faultyShuffle(shuffle, armed, files)
      )
    ),
    Layer.provide(
      EngineConfig.layer({
        ...adaptive[settings.adaptive],
        ...(settings.broadcast ? {} : { broadcastBytes: 0 }),
        cacheBytes: settings.cacheBytes,
        maxDeadLetters: { ratio: 1 },
        splitBytes: settings.splitBytes,
        openCostBytes: 0,
        localityWait: 0
      })
    )
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Running
// ---------------------------------------------------------------------------------------------------------------------

export interface Outcome {
  /** The first thing that is wrong. */
  readonly wrong: { readonly kind: "rows" | "failed" | "lost" | "left" | "hangs"; readonly detail: string } | undefined
  /** Actions run to their end. */
  readonly runs: number
  /** Actions that a fault has ended with a typed failure, by fault and reason. */
  readonly lost: ReadonlyArray<string>
}

const reasonOf = (error: unknown): string =>
  error instanceof JobError.JobError ? `${error.reason._tag}: ${error.message}` : String(error)

/** Whether a failure is the one that a fault has made. Counts that do not add up never are. */
const isOf = ({ kind }: Fault, { message, reason }: JobError.JobError): boolean =>
  kind === "shuffle missing" || kind === "shuffle corrupt"
    ? reason._tag === "ShuffleFailed" || reason._tag === "Indeterminate"
    : message.includes("on purpose")

/** Faults that pass while there are attempts left end no task but one whose rows have been handed on. */
const mustPass = ({ kind }: Fault, error: JobError.JobError, streams: boolean, steady: boolean): boolean => {
  if (streams || (error.reason._tag === "Indeterminate" && !steady)) return false
  if (kind === "shuffle missing" || kind === "shuffle corrupt") return true
  return (kind === "storage read" || kind === "storage readRange") && error.at.stage !== undefined
}

const storageFault = (fault: Fault): FaultyStorage.Fault | undefined => {
  const operation = fault.kind.startsWith("storage ") ? fault.kind.slice("storage ".length) : undefined
  return operation === undefined
    ? undefined
    : {
        operation: operation as FaultyStorage.Operation,
        nth: fault.nth,
        times: fault.times,
        reason: new StorageError.Unavailable({ detail: "on purpose" })
      }
}

const listed = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  const left: Array<string> = []
  const walk = (folder: string): Effect.Effect<void, unknown> =>
    Effect.flatMap(Stream.runCollect(storage.list(folder)), (entries) =>
      Effect.forEach(
        entries,
        (entry) => {
          if (entry.type === "directory") return walk(entry.path)
          left.push(entry.path)
          return Effect.void
        },
        { discard: true }
      )
    )
  yield* walk("memory:///")
  return left
})

const filesBelow = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "owner.json")
    .map((entry) => path.join(entry.parentPath, entry.name))

const patience = "20 seconds"

/** A pipeline while it runs: what is to go wrong, and what its steps and actions have left behind. */
class Running {
  readonly model: Model
  readonly env: Env
  /** The shuffle files that exist. */
  readonly files = new Set<string>()
  readonly caches: Array<Rows> = []
  readonly lost: Array<string> = []
  runs = 0
  armed: Armed = unarmed()
  #calm: Effect.Effect<void> = Effect.void
  #folders = 0

  constructor(spec: Spec) {
    this.model = expected(spec)
    this.env = {
      calm: Effect.suspend(() => this.#calm),
      facts: factsOf(spec.pipe),
      passing: () => Effect.suspend(() => this.#pass()),
      touched: () => this.#touch(),
      folder: () => `memory:///files/${this.#folders++}`,
      keep: (cached) => this.caches.push(cached)
    }
  }

  /** Runs an action, with its fault, and says what is wrong with its end. */
  readonly act = Effect.fnUntraced({ self: this }, function* (this: Running, rows: Rows, { a, fault, name }: Act) {
    const action = actions[name]
    if (action === undefined) throw new RangeError(`no action ${name}`)
    const faulty = yield* FaultyStorage.FaultyStorage
    this.#calm = Effect.andThen(
      Effect.sync(() => (this.armed = unarmed())),
      faulty.reset
    )
    yield* this.#calm
    this.armed = { ...this.armed, fault }
    const inStorage = fault === undefined ? undefined : storageFault(fault)
    if (inStorage !== undefined) yield* faulty.inject(inStorage)
    const exit = yield* action
      .run(rows, this.model, a, this.env)
      .pipe(Effect.raceFirst(Deferred.await(this.armed.reached)), Effect.timeoutOption(patience), Effect.exit)
    yield* this.#calm
    return Exit.isSuccess(exit)
      ? this.#ended(exit.value, action)
      : this.#failed(Cause.squash(exit.cause), action, fault)
  })

  #ended(result: Option.Option<string | undefined>, action: Action): Outcome["wrong"] {
    if (Option.isNone(result)) return { kind: "hangs", detail: `no end after ${patience}` }
    this.runs++
    if (result.value !== undefined) return { kind: "rows", detail: result.value }
    return isClean(this.model) || action.early === true
      ? undefined
      : { kind: "rows", detail: "the elements that fail have gone unnoticed" }
  }

  #failed(error: unknown, action: Action, fault: Fault | undefined): Outcome["wrong"] {
    if (error instanceof Interrupted || isPromised(error, this.model)) return undefined
    if (fault === undefined || !(error instanceof JobError.JobError) || !isOf(fault, error)) {
      return { kind: "failed", detail: reasonOf(error) }
    }
    const streams = action.streams === true
    if (mustPass(fault, error, streams, this.env.facts.steady)) return { kind: "lost", detail: reasonOf(error) }
    this.lost.push(
      `${fault.kind} x${fault.times}: ${error.reason._tag}${error.at.stage === undefined ? "" : " in a task"}${streams ? " of a stream" : ""}`
    )
    return undefined
  }

  #pass(): Effect.Effect<void> {
    // It stays here until the interrupt comes.
    if (hits(this.armed, "interrupt")) {
      return Effect.andThen(Deferred.fail(this.armed.reached, new Interrupted()), Effect.never)
    }
    this.#touch()
    return Effect.void
  }

  #touch(): void {
    if (hits(this.armed, "throw")) throw new OnPurpose("on purpose")
  }
}

// What is there when all is over, and should not be.
const leftOver = Effect.fnUntraced(function* (spec: Spec, files: Iterable<string>, directory: string) {
  // The next run deletes what could not be deleted.
  const undeletable = spec.acts.some(({ fault }) => fault?.kind.startsWith("storage ") === true)
  const staged = undeletable
    ? []
    : (yield* listed).filter((file) => file.includes("_sluice") || file.includes("_staging"))
  const { open } = yield* (yield* FaultyStorage.FaultyStorage).counts
  const onDisk = spec.settings.disk ? filesBelow(directory) : []
  return [...staged, ...files, ...onDisk, ...(open === 0 ? [] : [`${open} open streams`])]
})

/** Runs a pipeline on a new engine. */
export const run = (spec: Spec): Effect.Effect<Outcome> => {
  const running = new Running(spec)
  const { caches, env, files, lost } = running
  const directory = spec.settings.disk ? fs.mkdtempSync(path.join(os.tmpdir(), "sluice-oracle-")) : ""
  const program = Effect.gen(function* () {
    // A checkpoint is an action: its failure is that of the elements before it, which there are none of.
    const rows = yield* build(spec.pipe, Dataset.empty, env)
    for (const [index, one] of spec.acts.entries()) {
      const wrong = yield* running.act(rows, one)
      if (wrong !== undefined) return { ...wrong, detail: `action ${index} (${one.name}): ${wrong.detail}` }
    }
    for (const cached of caches) yield* Dataset.unpersist(cached)
    const left = yield* leftOver(spec, files, directory)
    return left.length === 0 ? undefined : ({ kind: "left", detail: left.join(" ") } as const)
  })
  return program.pipe(
    Effect.provide(layerOf(spec.settings, directory, () => running.armed, files)),
    Effect.catchCause((cause) => Effect.succeed({ kind: "failed", detail: reasonOf(Cause.squash(cause)) } as const)),
    Effect.map((wrong) => ({ wrong, runs: running.runs, lost })),
    Effect.ensuring(Effect.sync(() => directory === "" || fs.rmSync(directory, { recursive: true })))
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Making it smaller
// ---------------------------------------------------------------------------------------------------------------------

const withoutEach = <A>(values: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  values.map((_, i) => values.toSpliced(i, 1))

const smallerNumbers = (n: number, least = 0): ReadonlyArray<number> =>
  [...new Set([least, n % 10, Math.floor(n / 2), n - 1])].filter((other) => other < n && other >= least)

function* smallerSources(source: Source): Iterable<Source> {
  if (source.kind !== "iterable") yield { ...source, kind: "iterable", min: 0, bad: 0 }
  if (source.min > 0) yield { ...source, min: 0 }
  if (source.bad > 0) yield { ...source, bad: 0 }
  if (source.parts.length > 1) {
    for (const parts of withoutEach(source.parts)) yield { ...source, parts }
  }
  for (const [index, part] of source.parts.entries()) {
    const half = part.slice(0, part.length >> 1)
    const rest = part.slice(part.length >> 1)
    if (half.length > 0) {
      yield { ...source, parts: source.parts.with(index, half) }
      yield { ...source, parts: source.parts.with(index, rest) }
    }
    if (part.length > 0 && part.length <= 8) {
      for (const cells of withoutEach(part)) yield { ...source, parts: source.parts.with(index, cells) }
    }
  }
  for (const pool of smallerNumbers(source.pool)) yield { ...source, pool }
  for (const chunk of smallerNumbers(source.chunk, 1)) yield { ...source, chunk }
  const plain = source.parts.map((part) => part.map(([key, value]): Cell => [key % 2, value % 10]))
  if (JSON.stringify(plain) !== JSON.stringify(source.parts)) yield { ...source, parts: plain }
}

function* smallerPipes(pipe: Pipe): Iterable<Pipe> {
  for (const ops of withoutEach(pipe.ops)) yield { ...pipe, ops }
  for (const [index, op] of pipe.ops.entries()) {
    // The dataset beside a step may be enough.
    if (op.other !== undefined && op.other.source !== "self")
      yield { ...op.other, ops: [...op.other.ops, ...pipe.ops.slice(index + 1)] }
    if (op.other !== undefined) {
      for (const other of smallerPipes(op.other)) yield { ...pipe, ops: pipe.ops.with(index, { ...op, other }) }
    }
    for (const a of smallerNumbers(op.a)) yield { ...pipe, ops: pipe.ops.with(index, { ...op, a }) }
    for (const b of smallerNumbers(op.b)) yield { ...pipe, ops: pipe.ops.with(index, { ...op, b }) }
  }
  if (pipe.source !== "self") for (const source of smallerSources(pipe.source)) yield { ...pipe, source }
}

const plainSettings: Settings = {
  slots: 1,
  executors: 1,
  disk: false,
  memoryBytes: 64 * 1024 * 1024,
  adaptive: "off",
  broadcast: false,
  cacheBytes: 256 * 1024 * 1024,
  splitBytes: 128 * 1024 * 1024
}

function* smallerSpecs(spec: Spec): Iterable<Spec> {
  for (const acts of withoutEach(spec.acts)) if (acts.length > 0) yield { ...spec, acts }
  for (const [index, act] of spec.acts.entries()) {
    if (act.fault !== undefined) {
      const { fault, ...calm } = act
      yield { ...spec, acts: spec.acts.with(index, calm) }
      for (const nth of smallerNumbers(fault.nth, 1)) {
        yield { ...spec, acts: spec.acts.with(index, { ...act, fault: { ...fault, nth } }) }
      }
      if (fault.times > 1) yield { ...spec, acts: spec.acts.with(index, { ...act, fault: { ...fault, times: 1 } }) }
    }
    if (act.name !== "collect") yield { ...spec, acts: spec.acts.with(index, { ...act, name: "collect" }) }
    for (const a of smallerNumbers(act.a)) yield { ...spec, acts: spec.acts.with(index, { ...act, a }) }
  }
  for (const pipe of smallerPipes(spec.pipe)) yield { ...spec, pipe }
  const settings = { ...plainSettings }
  if (JSON.stringify(settings) !== JSON.stringify(spec.settings)) yield { ...spec, settings }
  for (const name of [
    "slots",
    "executors",
    "memoryBytes",
    "cacheBytes",
    "splitBytes",
    "disk",
    "adaptive",
    "broadcast"
  ] as const) {
    if (spec.settings[name] !== plainSettings[name]) {
      yield { ...spec, settings: { ...spec.settings, [name]: plainSettings[name] } }
    }
  }
}

/** The same kind of failure with less; `attempts` times each, because some failures come and go. */
export const shrink = Effect.fnUntraced(function* (spec: Spec, attempts = 1, tries = 2000) {
  const kind = (yield* fails(spec, attempts))?.kind
  let smallest = spec
  let left = tries
  search: while (kind !== undefined && left > 0) {
    for (const candidate of smallerSpecs(smallest)) {
      if (left-- <= 0) break search
      const wrong = yield* fails(candidate, attempts)
      if (wrong?.kind === kind) {
        smallest = candidate
        continue search
      }
    }
    break
  }
  return smallest
})

const fails = Effect.fnUntraced(function* (spec: Spec, attempts: number) {
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      expected(spec)
    } catch (error) {
      if (error instanceof Inapplicable) return undefined
      throw error
    }
    const { wrong } = yield* run(spec)
    if (wrong !== undefined) return wrong
  }
  return undefined
})

/** A pipeline in one line a step. */
export const print = (spec: Spec): string => {
  const source = (of: Pipe["source"]) =>
    of === "self"
      ? "self"
      : `${of.kind} ${JSON.stringify(of.parts)} pool ${of.pool} chunk ${of.chunk} min ${of.min} bad ${of.bad}`
  const lines = (pipe: Pipe, indent: string): ReadonlyArray<string> => [
    `${indent}${source(pipe.source)}`,
    ...pipe.ops.flatMap((op) => [
      `${indent}  ${op.name} a=${op.a} b=${op.b}`,
      ...(op.other === undefined ? [] : lines(op.other, `${indent}    `))
    ])
  ]
  return [
    ...lines(spec.pipe, ""),
    ...spec.acts.map(
      ({ a, fault, name }) => `  => ${name} a=${a}${fault === undefined ? "" : ` ${JSON.stringify(fault)}`}`
    ),
    `  ${JSON.stringify(spec.settings)}`
  ].join("\n")
}
