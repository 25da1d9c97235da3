/**
 * A client of HDFS and a cluster of one file, on the loopback, whose NameNode and DataNode are wrong now and then: in their status
 * lines, heads, chunks, lengths and JSON, in how much they send and when. Whatever they do, an operation ends within its limits,
 * with the right bytes or a typed error. One seed is one operation, and repeats it.
 */
import { HdfsAuth, HdfsClient, HdfsConfig, HdfsError, HdfsStorage } from "@sluice/hdfs"
import { StorageError } from "@sluice/core/StorageError"
import { Cause, type Duration, Effect, Layer, Option, Redacted, References } from "effect"
import { serveRaw } from "../support/rawServer.ts"
import { Cluster } from "./cluster.ts"
import { operationOf } from "./operations.ts"
import * as Random from "./random.ts"

/** The result of a seed. */
export interface Outcome {
  readonly seed: number
  readonly operation: string
  /** What was wrong with the answers, in their order; empty if nothing was. */
  readonly wrong: ReadonlyArray<string>
  /** The tag of the failure, `ok`, or what must not be. */
  readonly result: string
  readonly violation: string | undefined
}

/** An operation ends by then, whatever its servers do. */
const limit: Duration.Input = "20 seconds"
/** Bytes that a connection takes at most of a server that does not stop. */
const mostBytes = 16 * 1024 * 1024

const settings = (isWrong: boolean): Omit<HdfsConfig.Options, "nameNodes"> => ({
  // Without faults nothing fails, however busy the machine is.
  connectTimeout: isWrong ? "300 millis" : "10 seconds",
  readTimeout: isWrong ? "80 millis" : "10 seconds",
  operationTimeout: isWrong ? "300 millis" : "10 seconds",
  maxAnswerBytes: 512 * 1024,
  maxRetries: 2,
  maxFailovers: 2,
  retryBase: "1 millis",
  retryMax: "3 millis"
})

const token = Redacted.make("token")

/** Runs one operation against servers that are wrong as the seed has it. */
export const run = (seed: number): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const random = Random.make(seed)
    const cluster = new Cluster(random)
    const operation = operationOf(random, cluster)
    const server = yield* serveRaw((request, socket, _, self) => cluster.serve(request, socket, self.url))
    const config = HdfsConfig.layer({ ...settings(cluster.rate > 0), nameNodes: [server.url] })
    const client = HdfsClient.layer.pipe(Layer.provide(HdfsAuth.layerToken(token)), Layer.provideMerge(config))
    const layer = Layer.provideMerge(HdfsStorage.layer, client)
    const exit = yield* operation.run.pipe(Effect.provide(layer), Effect.timeoutOption(limit), Effect.exit)
    const outcome = (result: string, violation?: string): Outcome => ({
      seed,
      operation: operation.name,
      wrong: cluster.wrong,
      result,
      violation
    })
    if (server.mostSent() > mostBytes) return outcome("flood", `${server.mostSent()} bytes were taken`)
    if (exit._tag === "Success") {
      if (Option.isNone(exit.value)) return outcome("hang", "no end")
      return outcome("ok", exit.value.value)
    }
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (Cause.hasDies(exit.cause) || error === undefined) return outcome("defect", Cause.pretty(exit.cause))
    if (!(error instanceof HdfsError.HdfsError || error instanceof StorageError)) return outcome("error", "not typed")
    if (error.message.length > 2000) return outcome("error", "a message of more than 2,000 characters")
    return outcome(
      error.reason._tag,
      cluster.rate > 0 ? undefined : `it failed though nothing was wrong: ${error.message}`
    )
  }).pipe(
    Effect.scoped,
    // A warning that a hidden file may be left is of no interest here.
    Effect.provideService(References.MinimumLogLevel, "None")
  )
