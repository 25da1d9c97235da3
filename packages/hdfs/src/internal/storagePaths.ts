/** URIs of a cluster, taken apart and put together. */
import * as S from "@sluice/core/StorageError"
import * as StoragePath from "@sluice/core/StoragePath"
import { Effect } from "effect"
import type { HdfsConfig } from "../HdfsConfig.ts"
import { storageError } from "./storageErrors.ts"

/** The parts of a URI: `base` is scheme and authority, `path` is the path for HDFS. */
interface Located {
  readonly base: string
  readonly segments: StoragePath.Segments
}

/** Takes a URI apart. What is escaped in it passes through `literal`. */
export type Locate = (
  operation: string,
  uri: string,
  literal?: (name: string) => string
) => Effect.Effect<Located, S.StorageError>

export const toPath = (segments: StoragePath.Segments): string => `/${segments.join("/")}`

/** The names by which a URI may call this cluster. */
const hostsOf = ({ authorities, nameNodes }: HdfsConfig["Service"]): ReadonlySet<string> =>
  new Set([
    ...nameNodes.map((each) => new URL(each).hostname),
    ...authorities.flatMap((each) => [each, each.replace(/:\d+$/, "")])
  ])

export const locator = (config: HdfsConfig["Service"]): Locate => {
  const hosts = hostsOf(config)
  return Effect.fnUntraced(function* (
    operation: string,
    uri: string,
    literal?: (name: string) => string
  ): Effect.fn.Return<Located, S.StorageError> {
    const invalid = (detail: string) => storageError(operation, uri, new S.InvalidPath({ detail }))
    const match = /^([A-Za-z][\w+.-]*):(?:\/\/([^/]*))?(\/.*)?$/s.exec(uri)
    if (match === null) return yield* invalid("not an HDFS path; write it as hdfs:///name or hdfs://nameservice/name")
    const [, scheme = "", authority = "", rest = "/"] = match
    if (authority !== "" && !hosts.has(authority) && !hosts.has(authority.replace(/:\d+$/, ""))) {
      return yield* invalid(
        `${authority} is not the cluster this storage is connected to (${[...hosts].join(", ")}); ` +
          "name it in HdfsConfig.nameNodes or authorities, or leave it out: hdfs:///name"
      )
    }
    const segments = yield* StoragePath.decode(operation, uri, rest, literal)
    return { base: `${scheme.toLowerCase()}://${authority}`, segments }
  })
}
