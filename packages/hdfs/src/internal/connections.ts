import { Duration, Effect, Redacted } from "effect"
import { HdfsConfig } from "../HdfsConfig.ts"
import * as Http from "./http.ts"

/** Connections with the timeouts and certificates of the configuration; they end with the scope. */
export const connections = Effect.gen(function* () {
  const { connectTimeout, readTimeout, tls } = yield* HdfsConfig
  return yield* Http.make({
    connectMillis: Duration.toMillis(connectTimeout),
    readMillis: Duration.toMillis(readTimeout),
    tls: {
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined ? {} : { key: String(Redacted.value(tls.key)) }),
      ...(tls?.servername === undefined ? {} : { servername: tls.servername })
    }
  })
})
