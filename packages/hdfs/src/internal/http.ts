import type { Cause, Effect, Exit, Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Tls from "node:tls"
import type { Head } from "./response.ts"

/** Why there is no answer, or no rest of it. */
export type Failure =
  | { readonly _tag: "Timeout"; readonly phase: "connect" | "read" | "write"; readonly millis: number }
  | { readonly _tag: "Cause"; readonly cause: unknown }
  | { readonly _tag: "Malformed"; readonly detail: string }
  | { readonly _tag: "TooLarge"; readonly limit: number }

export const closed: Failure = {
  _tag: "Cause",
  cause: { code: "ECONNRESET", message: "the server closed the connection" }
}

export interface Request {
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

export interface Answer extends Head {
  readonly body: string
}

/** Limits of time and size: every phase of an exchange has one. */
export interface Options {
  readonly connectMillis: number
  /** Limit for the head of an answer, and for awaited bytes without progress. */
  readonly readMillis: number
  /** Limit for a small answer, from its request to its last byte. */
  readonly answerMillis: number
  /** Bytes that a small answer may have. */
  readonly answerBytes: number
  readonly tls: Tls.SecureContextOptions & { readonly servername?: string }
}

/** How much of an error answer is kept. */
export const errorBytes = 1024 * 1024

export type Settle = (exit: Exit.Exit<Answer, Failure>) => void

export interface Http {
  /** A small exchange over a kept-alive connection. */
  readonly ask: (request: Request) => Effect.Effect<Answer, Failure>
  /**
   * A body of at most `wanted` bytes that is read as it is pulled, over its own connection, which closes with the
   * scope. With a `buffer`, the bytes are always put there: a chunk is valid until the next pull.
   */
  readonly download: (
    request: Request,
    wanted: number,
    buffer: Uint8Array | undefined
  ) => Effect.Effect<
    Head & {
      /** The next bytes; done at the end of the body. */
      readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Failure | Cause.Done>
    },
    Failure,
    Scope.Scope
  >
  /**
   * Sends the chunks that `body` passes to its function, over its own connection. `body` starts when there is a
   * connection; chunks are not read again after the function's effect.
   */
  readonly upload: <E, R>(
    request: Request,
    body: (write: (chunks: NonEmptyReadonlyArray<Uint8Array>) => Effect.Effect<void>) => Effect.Effect<void, E, R>
  ) => Effect.Effect<Answer, Failure | E, R>
}
