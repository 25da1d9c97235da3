/** The credentials of requests, apart from the ways to obtain them. */
import type { Effect, Redacted } from "effect"
import type { HdfsError } from "../HdfsError.ts"

/**
 * What is added to a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  /** Query parameters: `user.name`, `doas`, `delegation`. */
  readonly params: Readonly<Record<string, string | Redacted.Redacted>>
  /** Headers: `authorization`, `cookie`. */
  readonly headers: Readonly<Record<string, string | Redacted.Redacted>>
}

/** Provides credentials, and new ones if the server refuses them. */
export interface Auth {
  /** The credentials for a request to this NameNode or gateway. */
  readonly credentials: (nameNode: URL) => Effect.Effect<Credentials, HdfsError>
  /**
   * Drops credentials obtained until `askedAt` (milliseconds since 1970), after the server refused a request of that
   * time: newer ones have not been refused yet. `false` if there is nothing else to try.
   */
  readonly refresh: (askedAt: number) => Effect.Effect<boolean>
}
