import { Cause, Clock, Duration, Effect, Option, Random, type Stream } from "effect"
import type { HdfsConfig } from "../HdfsConfig.ts"
import * as E from "../HdfsError.ts"
import * as Answers from "./answers.ts"
import { type Asking, nothing } from "./asking.ts"
import type { CreateOptions, Names, Status, Writes } from "./contract.ts"
import { find } from "./metadata.ts"
import * as Path from "./path.ts"
import type * as WebHdfs from "./webhdfs.ts"

/** The questions that writing asks the NameNode. */
type Asks = Pick<Status, "getFileStatus"> &
  Pick<Names, "delete" | "rename"> & {
    readonly renameThroughGateway: (from: string, to: string, overwrite: boolean) => Effect.Effect<boolean, E.HdfsError>
  }

/** Whether a server has reported the error, after which it does nothing more. */
const isAnswer = ({ reason }: E.HdfsError): boolean => {
  switch (reason._tag) {
    case "Connection":
    case "Timeout":
    case "Tls":
    case "Protocol":
    case "UnexpectedEnd":
      return false
    default:
      return true
  }
}

/** Sends bytes to a DataNode. */
const send = Effect.fnUntraced(function* <Err, R>(
  web: WebHdfs.WebHdfs,
  maxRetries: number,
  call: WebHdfs.Call,
  bytes: Stream.Stream<Uint8Array, Err, R>,
  status: 200 | 201,
  length?: number
) {
  let started = false
  for (let retries = 0; ; retries++) {
    const exchange = yield* web.locate(call)
    const result = yield* Effect.result(
      web.transport.upload(exchange, bytes, length, status, () => {
        started = true
      })
    )
    if (result._tag === "Success") return result.success
    const error = result.failure
    // Another DataNode may be tried until something of the source has been taken.
    const again =
      !started &&
      error instanceof E.HdfsError &&
      error.endpoint === exchange.url.host &&
      (error.reason._tag === "Connection" || error.reason._tag === "Timeout") &&
      retries < maxRetries
    if (!again) return yield* Effect.fail(error)
    yield* web.backoff(retries + 1)
  }
})

const createParams = (options: CreateOptions | undefined) => ({
  overwrite: options?.overwrite ?? false,
  blocksize: options?.blockSize,
  replication: options?.replication,
  permission: options?.permission,
  unmaskedpermission: options?.unmaskedPermission,
  createparent: options?.createParent,
  buffersize: options?.bufferSize,
  ecpolicy: options?.ecPolicy,
  storagepolicy: options?.storagePolicy
})

/**
 * Removes an unfinished file. If the request was given up without an answer, a DataNode may still be opening the file,
 * so it is looked for more than once.
 */
const clean = Effect.fnUntraced(
  function* (remove: Names["delete"], temporary: string, times: number) {
    for (let attempts = 0; attempts < times; attempts++) {
      const gone = yield* remove(temporary).pipe(
        // Nothing can have been written below a file.
        Effect.catchIf(
          (error) => error.reason._tag === "NotADirectory",
          () => Effect.succeed(true)
        )
      )
      if (gone) return
      if (attempts + 1 < times) yield* Effect.sleep(Duration.millis(50 * 2 ** attempts))
    }
  },
  Effect.timeout("30 seconds"),
  (removal, _remove, temporary) =>
    Effect.catch(removal, (error) => Effect.logWarning(`${temporary} may be left: ${error.message}`))
)

export const make = (asking: Asking, config: HdfsConfig["Service"], asks: Asks): Writes => {
  const { ask, web } = asking
  const create = Effect.fn("HdfsClient.CREATE")(<Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: CreateOptions
  ) => {
    const call: WebHdfs.Call = { method: "PUT", operation: "CREATE", path, params: createParams(options) }
    return send(web, config.maxRetries, call, bytes, 201, options?.length)
  })

  const write = Effect.fn("HdfsClient.write")(function* <Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: Omit<CreateOptions, "createParent">
  ) {
    const call: WebHdfs.Call = { method: "PUT", operation: "CREATE", path }
    const overwrite = options?.overwrite ?? false
    const there = yield* find(asks.getFileStatus, path)
    if (Option.isSome(there)) {
      if (there.value.type === "DIRECTORY") {
        return yield* web.fail(call, new E.IsADirectory({ detail: `${path} is a directory` }))
      }
      if (!overwrite) return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${path} already exists` }))
    }
    const id = (yield* Random.nextIntBetween(0, 2 ** 31)).toString(36)
    const now = (yield* Clock.currentTimeMillis).toString(36)
    // Readers of directories skip hidden names, and `._COPYING_` is what `hdfs dfs -put` uses.
    const temporary = Path.child(Path.parent(path), `.${Path.name(path)}.${now}${id}._COPYING_`)
    const work = Effect.gen(function* () {
      const sent = yield* create(temporary, bytes, { ...options, overwrite: false })
      const { length } = yield* asks.getFileStatus(temporary)
      if (length !== sent) {
        return yield* web.fail(call, new E.UnexpectedEnd({ position: length, expected: sent }))
      }
      if (config.gateway) yield* asks.renameThroughGateway(temporary, path, overwrite)
      else yield* asks.rename(temporary, path, overwrite ? "overwrite" : "none")
      return sent
    })
    return yield* Effect.onExit(work, (exit) => {
      if (exit._tag === "Success") return Effect.void
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      // Not an error of the source, which may be another file of HDFS.
      return clean(
        asks.delete,
        temporary,
        error instanceof E.HdfsError && error.path === temporary && isAnswer(error) ? 1 : 5
      )
    })
  })

  return {
    create,
    write,
    append: Effect.fn("HdfsClient.APPEND")((path, bytes, options) => {
      const call: WebHdfs.Call = {
        method: "POST",
        operation: "APPEND",
        path,
        params: { buffersize: options?.bufferSize }
      }
      return send(web, config.maxRetries, call, bytes, 200)
    }),
    concat: (path, sources) =>
      ask({ method: "POST", operation: "CONCAT", path, params: { sources: sources.join(",") } }, nothing, "never"),
    truncate: (path, newLength) =>
      Effect.map(
        ask(
          { method: "POST", operation: "TRUNCATE", path, params: { newlength: newLength } },
          Answers.BooleanAnswer,
          "never"
        ),
        (answer) => answer.boolean
      )
  }
}
