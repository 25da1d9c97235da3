import { Effect, Option, Stream } from "effect"
import * as E from "../HdfsError.ts"
import type * as M from "../HdfsModel.ts"
import * as Answers from "./answers.ts"
import type { Exchange } from "./transport.ts"
import * as WebHdfs from "./webhdfs.ts"

/** Runs an operation and decodes its answer. */
type Get = <A>(
  operation: string,
  path: string,
  decode: (exchange: Exchange, body: string) => Effect.Effect<A, E.HdfsError>,
  params?: WebHdfs.Call["params"]
) => Effect.Effect<A, E.HdfsError>

/** The NameNode's own limit of entries in a directory (`dfs.namenode.fs-limits.max-directory-items`). */
const maxEntries = 6_400_000

const protocol = (exchange: Exchange, detail: string) => WebHdfs.failAt(exchange, new E.Protocol({ detail }))

const wrongName = (name: string) => name === "." || name === ".." || name.includes("/") || name.includes("\0")

/** The entries of an answer: each has a name, except for a file, which lists itself. */
const named = (exchange: Exchange, entries: ReadonlyArray<M.FileStatus>) => {
  const wrong = entries.find(({ pathSuffix }) => wrongName(pathSuffix) || (pathSuffix === "" && entries.length > 1))
  return wrong === undefined
    ? Effect.succeed(entries)
    : Effect.fail(protocol(exchange, `an entry with the name ${JSON.stringify(wrong.pathSuffix.slice(0, 100))}`))
}

export const listStatus = (get: Get, path: string): Effect.Effect<ReadonlyArray<M.FileStatus>, E.HdfsError> =>
  get("LISTSTATUS", path, (exchange, body) =>
    Effect.flatMap(Answers.FileStatusesAnswer(exchange, body), ({ FileStatuses }) =>
      named(exchange, FileStatuses.FileStatus)
    )
  )

/** The entries of a directory page by page; each page is asked for by the last name of the one before. */
export const listStatusBatch = (get: Get, path: string): Stream.Stream<M.FileStatus, E.HdfsError> =>
  Stream.suspend(() => {
    const asked = new Set<string>()
    let count = 0
    const pageOf = Effect.fnUntraced(function* (exchange: Exchange, body: string) {
      const { DirectoryListing } = yield* Answers.ListingAnswer(exchange, body)
      const page = yield* named(exchange, DirectoryListing.partialListing.FileStatuses.FileStatus)
      count += page.length
      if (DirectoryListing.remainingEntries <= 0) return [page, Option.none<string>()] as const
      const last = page.at(-1)?.pathSuffix
      if (last === undefined) return yield* protocol(exchange, "an empty page of a directory that has more entries")
      if (asked.has(last)) return yield* protocol(exchange, "the server returns the same page again and again")
      if (count > maxEntries) return yield* protocol(exchange, `more than ${maxEntries} entries in one directory`)
      asked.add(last)
      return [page, Option.some(last)] as const
    })
    return Stream.paginate<string | undefined, M.FileStatus, E.HdfsError>(undefined, (last) =>
      // The NameNode knows the parameter only in lower case, HttpFS only as documented.
      get("LISTSTATUS_BATCH", path, pageOf, { startAfter: last, startafter: last })
    )
  })

/** What differs between two snapshots, page by page. */
export const getSnapshotDiffListing = (
  get: Get,
  path: string,
  from: string,
  to: string
): Stream.Stream<M.SnapshotDiffListing, E.HdfsError> =>
  Stream.suspend(() => {
    const asked = new Set<string>()
    const pageOf = Effect.fnUntraced(function* (exchange: Exchange, body: string) {
      const { SnapshotDiffReportListing: page } = yield* Answers.SnapshotDiffListingAnswer(exchange, body)
      const next = { path: page.lastPath, index: page.lastIndex }
      if (next.index === -1 && next.path === "") return [[page], Option.none<typeof next>()] as const
      const key = `${next.index} ${next.path}`
      if (asked.has(key)) return yield* protocol(exchange, "the server returns the same page again and again")
      asked.add(key)
      return [[page], Option.some(next)] as const
    })
    return Stream.paginate<{ readonly path: string; readonly index: number }, M.SnapshotDiffListing, E.HdfsError>(
      { path: "", index: -1 },
      (start) =>
        get("GETSNAPSHOTDIFFLISTING", path, pageOf, {
          oldsnapshotname: from,
          snapshotname: to,
          snapshotdiffstartpath: start.path,
          snapshotdiffindex: start.index
        })
    )
  })
