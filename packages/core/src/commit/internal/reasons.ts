/** The reasons for which a job fails when its output cannot be written. */
import { Schema } from "effect"
import type { FormatError } from "../../task/FormatError.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { OutputFailed, Reason } from "../../task/JobError.ts"

const isReason = Schema.is(Reason)

export const outputFailed = (error: StorageError | FormatError): OutputFailed => new OutputFailed({ error })

export const toReason = (error: Reason | StorageError | FormatError): Reason =>
  isReason(error) ? error : outputFailed(error)
