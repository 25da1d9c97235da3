/** Failures of HDFS as those of a storage. */
import * as S from "@sluice/core/StorageError"
import { Effect, Stream } from "effect"
import type { HdfsError } from "../HdfsError.ts"

export const storageError = (operation: string, path: string, reason: S.Reason) =>
  new S.StorageError({ operation, path, reason })

export const toReason = (error: HdfsError): S.Reason => {
  const detail = error.message
  switch (error.reason._tag) {
    case "FileNotFound":
      return new S.NotFound()
    case "FileAlreadyExists":
      return new S.AlreadyExists()
    case "NotADirectory":
      return new S.NotADirectory()
    case "IsADirectory":
      return new S.IsADirectory()
    case "NotEmpty":
      return new S.NotEmpty()
    case "AccessControl":
    case "Authentication":
    case "InvalidToken":
      return new S.PermissionDenied({ detail })
    case "QuotaExceeded":
    case "NoSpace":
      return new S.NoSpace({ detail })
    case "InvalidArgument":
      return new S.InvalidPath({ detail })
    case "Unsupported":
    case "AnswerTooLarge":
      return new S.Unsupported({ detail })
    default:
      return new S.Unavailable({ detail, cause: error })
  }
}

export const wrap =
  (operation: string, path: string) =>
  <A, R>(effect: Effect.Effect<A, HdfsError, R>) =>
    Effect.mapError(effect, (error) => storageError(operation, path, toReason(error)))

export const wrapStream =
  (operation: string, path: string) =>
  <A, R>(stream: Stream.Stream<A, HdfsError, R>) =>
    Stream.mapError(stream, (error) => storageError(operation, path, toReason(error)))
