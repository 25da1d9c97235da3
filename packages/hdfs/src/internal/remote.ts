import { Option, Schema } from "effect"
import * as E from "../HdfsError.ts"

const RemoteException = Schema.fromJsonString(
  Schema.Struct({
    RemoteException: Schema.Struct({
      exception: Schema.String,
      javaClassName: Schema.optional(Schema.String),
      message: Schema.optional(Schema.NullOr(Schema.String))
    })
  })
)
const decodeRemote = Schema.decodeUnknownOption(RemoteException)

/** How much of a message is read: the expressions below may take time in the square of its length. */
const maxDetail = 1024

/** Java messages carry stack traces after the first line. */
const firstLine = (text: string): string => text.slice(0, maxDetail).split("\n", 1)[0]?.trim() ?? ""

/** The reason for a response with a status of 400 or more to an operation. */
export const reasonOfResponse = (operation: string, status: number, body: string): E.Reason => {
  const decoded = decodeRemote(body)
  if (Option.isSome(decoded)) {
    const { exception, javaClassName, message } = decoded.value.RemoteException
    const javaClass = (javaClassName ?? exception).slice(0, 200)
    return reasonOfException(operation, exception, javaClass, message ?? "", status)
  }
  if (status === 401) return new E.Authentication({ detail: `401 Unauthorized${excerpt(body)}` })
  if (status === 403) return new E.AccessControl({ detail: `403 Forbidden${excerpt(body)}` })
  if (status === 502 || status === 503 || status === 504)
    return new E.Retriable({ detail: `${status}${excerpt(body)}` })
  return new E.Protocol({ detail: `status ${status} without a RemoteException${excerpt(body)}` })
}

/** How much of a body that is not JSON may appear in a message. */
const maxBody = 16 * 1024

/** The start of a body that is not JSON, without tags, for a message. */
export const excerpt = (body: string): string => {
  const text = withoutTags(body.slice(0, maxBody)).replace(/\s+/g, " ").trim()
  return text === "" ? "" : `: ${text.slice(0, 120)}`
}

/** Removes tags, and the content of styles and scripts. Reads each character once or twice. */
const withoutTags = (html: string): string => {
  const lower = html.toLowerCase()
  let text = ""
  let at = 0
  while (at < html.length) {
    const open = html.indexOf("<", at)
    const close = open < 0 ? -1 : html.indexOf(">", open)
    if (close < 0) return text + html.slice(at)
    text += `${html.slice(at, open)} `
    at = close + 1
    for (const name of ["style", "script"]) {
      if (!lower.startsWith(name, open + 1)) continue
      const end = lower.indexOf(`</${name}>`, at)
      // Without an end tag, all of it is style.
      at = end < 0 ? html.length : end
    }
  }
  return text
}

const reasonOfException = (
  operation: string,
  exception: string,
  javaClassName: string,
  message: string,
  status: number
): E.Reason => {
  const detail = firstLine(message)
  switch (exception) {
    case "FileNotFoundException":
    case "NoSuchFileException":
      return /Path is not a file|is a directory|is not a regular file/i.test(detail)
        ? new E.IsADirectory({ detail })
        : new E.FileNotFound({ detail })
    case "AccessControlException":
    case "AuthorizationException":
      // The NameNode's answer for a path below a file.
      return /\(is not a directory\)|because it.s a file/i.test(detail)
        ? new E.NotADirectory({ detail })
        : new E.AccessControl({ detail })
    case "SecurityException":
      // The NameNode wraps token errors in a SecurityException.
      return /token/i.test(detail) ? new E.InvalidToken({ detail }) : new E.Authentication({ detail })
    case "InvalidToken":
    case "ExpiredTokenException":
      return new E.InvalidToken({ detail })
    case "AuthenticationException":
      return new E.Authentication({ detail })
    case "StandbyException":
    case "ObserverRetryOnActiveException":
      return new E.Standby({ detail })
    case "RetriableException":
    case "ServerNotRunningYetException":
    case "NameNodeNotYetStartedException":
      return new E.Retriable({ detail })
    case "SafeModeException":
      return new E.SafeMode({ detail })
    case "LeaseExpiredException":
    case "AlreadyBeingCreatedException":
    case "RecoveryInProgressException":
      return new E.Lease({ detail })
    case "FileAlreadyExistsException":
      return /is a directory|already exists as a directory/i.test(detail)
        ? new E.IsADirectory({ detail })
        : new E.FileAlreadyExists({ detail })
    case "ParentNotDirectoryException":
    case "PathIsNotDirectoryException":
      return new E.NotADirectory({ detail })
    case "PathIsNotEmptyDirectoryException":
      return new E.NotEmpty({ detail })
    case "NSQuotaExceededException":
      return new E.QuotaExceeded({ kind: "namespace", detail })
    case "DSQuotaExceededException":
    case "QuotaByStorageTypeExceededException":
      return new E.QuotaExceeded({ kind: "space", detail })
    case "BlockMissingException":
    case "CannotObtainBlockLengthException":
      return new E.BlockMissing({ detail })
    case "DiskOutOfSpaceException":
      return new E.NoSpace({ detail })
    case "UnsupportedOperationException":
      return new E.Unsupported({ detail })
    case "IllegalArgumentException":
    case "HadoopIllegalArgumentException":
    case "InvalidPathException":
    case "InvalidAclException":
    case "ParamException":
    case "QueryParamException":
      return /parameter "op"|No enum constant .*Operation|is not a valid \w+ operation/.test(detail)
        ? new E.Unsupported({ detail })
        : new E.InvalidArgument({ detail })
    default:
      return reasonOfMessage(operation, javaClassName, detail, status)
  }
}

/** The reason of an exception whose class says nothing: an `IOException` has it in its message. */
const reasonOfMessage = (operation: string, javaClassName: string, detail: string, status: number): E.Reason => {
  if (/could only be (written|replicated) to \d+/.test(detail) || /No space left|out of space/i.test(detail)) {
    return new E.NoSpace({ detail })
  }
  if (/Could not obtain block|Cannot obtain block length|No live nodes contain/.test(detail)) {
    return new E.BlockMissing({ detail })
  }
  if (/No active (and not excluded )?nodes contain this block/.test(detail)) return new E.BlockMissing({ detail })
  // No DataNode has the block to read, or room for the block to write.
  if (/Failed to find datanode/.test(detail)) {
    return operation === "CREATE" || operation === "APPEND" ? new E.NoSpace({ detail }) : new E.BlockMissing({ detail })
  }
  if (/still not started|startup mode|not yet started/i.test(detail)) return new E.Retriable({ detail })
  // A DataNode's own call to the NameNode failed, as its first after the NameNode's restart does: its connection is dead.
  if (/between local host is: .*destination host is: /.test(detail)) return new E.Retriable({ detail })
  if (/out of the range/.test(detail)) return new E.InvalidArgument({ detail })
  if (/is non empty/.test(detail)) return new E.NotEmpty({ detail })
  if (/ must both be directories/.test(detail)) return new E.FileAlreadyExists({ detail })
  if (status === 401) return new E.Authentication({ detail })
  return new E.Remote({ javaClassName, detail })
}
