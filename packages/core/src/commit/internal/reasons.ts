/** Why a job fails whose output does. */
import { Effect, Schema } from "effect"
import type { FormatError } from "../../storage/FormatError.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { OutputFailed, Reason } from "../../task/JobError.ts"

export const isReason = Schema.is(Reason)

export const toReason = (error: Reason | StorageError | FormatError): Reason =>
  isReason(error) ? error : new OutputFailed({ error })

export const failOutput = <A, R>(effect: Effect.Effect<A, StorageError, R>): Effect.Effect<A, OutputFailed, R> =>
  Effect.mapError(effect, (error) => new OutputFailed({ error }))
