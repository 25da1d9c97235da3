import { Duration, Effect, Redacted, type Scope } from "effect"
import { HdfsConfig } from "../HdfsConfig.ts"
import { constants } from "node:buffer"
import { Download } from "./download.ts"
import * as Exchanges from "./exchanges.ts"
import type { Failure, Http, Options } from "./http.ts"

/** The longest time that a timer of Node can wait, about 24 days. */
const millis = (duration: Duration.Input) => Math.min(Duration.toMillis(duration), 2 ** 31 - 1)

const make = (options: Options): Effect.Effect<Http, never, Scope.Scope> =>
  Effect.map(Exchanges.make(options), (exchanges) => ({
    ...exchanges,
    download: Effect.fnUntraced(function* (asked, wanted, buffer) {
      const body = yield* Effect.acquireRelease(
        Effect.try({
          try: () => new Download(asked, options, wanted, buffer),
          catch: (cause): Failure => ({ _tag: "Cause", cause })
        }),
        (it) => Effect.sync(() => it.close())
      )
      const head = yield* body.head
      return { ...head, pull: body.pull }
    })
  }))

/** Connections with the timeouts and certificates of the configuration; they end with the scope. */
export const connections = Effect.gen(function* () {
  const { connectTimeout, maxAnswerBytes, operationTimeout, readTimeout, tls } = yield* HdfsConfig
  return yield* make({
    connectMillis: millis(connectTimeout),
    readMillis: millis(readTimeout),
    answerMillis: millis(operationTimeout),
    // A string cannot be larger.
    answerBytes: Math.min(maxAnswerBytes, constants.MAX_STRING_LENGTH),
    tls: {
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined ? {} : { key: String(Redacted.value(tls.key)) }),
      ...(tls?.servername === undefined ? {} : { servername: tls.servername })
    }
  })
})
