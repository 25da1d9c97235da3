/**
 * A client of HDFS over WebHDFS or an HttpFS gateway: every operation of the REST specification, typed.
 *
 * Operations go to the active NameNode and move to another one when it changes; only what is safe to repeat is repeated.
 * Bytes are streams: reading resumes at the byte it reached on another DataNode when one fails, writing pulls from its source
 * and keeps nothing. All failures are `HdfsError`s.
 *
 * @since 0.1.0
 */
import { Clock, Context, Effect, Layer, Option, Redacted, type Scope } from "effect"
import { HdfsAuth } from "./HdfsAuth.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import * as E from "./HdfsError.ts"
import type * as M from "./HdfsModel.ts"
import * as Answers from "./internal/answers.ts"
import { Blocks } from "./internal/blocks.ts"
import type { Operations, RenameMode, Result } from "./internal/contract.ts"
import { connections } from "./internal/connections.ts"
import type * as Http from "./internal/http.ts"
import * as Listing from "./internal/listing.ts"
import * as Path from "./internal/path.ts"
import * as Reading from "./internal/reading.ts"
import type { Exchange } from "./internal/transport.ts"
import * as WebHdfs from "./internal/webhdfs.ts"
import * as Writing from "./internal/writing.ts"

export type { CreateOptions, OpenOptions, RangeOptions, RenameMode } from "./internal/contract.ts"

/**
 * Service with the operations of HDFS. Paths are absolute and as they are, not encoded: `/data/a b%.txt`.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsClient extends Context.Service<HdfsClient, Operations>()("@sluice/hdfs/HdfsClient") {}

type Decode<A> = (exchange: Exchange, body: string) => Effect.Effect<A, E.HdfsError>

/**
 * Makes a client with connections of its own, which end with the scope, with the timeouts and certificates of `HdfsConfig`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<HdfsClient["Service"], never, HdfsConfig | HdfsAuth | Scope.Scope> = Effect.suspend(
  () => Effect.flatMap(connections, makeOver)
)

const makeOver = Effect.fnUntraced(function* (http: Http.Http) {
  const config = yield* HdfsConfig
  const web = WebHdfs.make(http, config, yield* HdfsAuth)
  const known = new Blocks()

  /** Runs an operation and decodes its answer, in a span of its name. */
  const ask = <A>(call: WebHdfs.Call, decode: Decode<A>, repeat: "always" | "never" = "always"): Result<A> =>
    Effect.suspend(() => Effect.flatMap(web.text(call, repeat), ({ body, exchange }) => decode(exchange, body))).pipe(
      // The place it would show is always this one.
      Effect.withSpan(`HdfsClient.${call.operation}`, { attributes: { path: call.path } }, { captureStackTrace: false })
    )

  /** Of an operation that says nothing. A page of somebody else's would not be JSON. */
  const nothing: Decode<void> = (exchange, body) =>
    /^\s*(?:\{|$)/.test(body) ? Effect.void : Effect.asVoid(Answers.AnyAnswer(exchange, body))
  const get = <A>(operation: string, path: string, decode: Decode<A>, params?: WebHdfs.Call["params"]) =>
    ask({ method: "GET", operation, path, params }, decode)
  const put = (operation: string, path: string, params?: WebHdfs.Call["params"], repeat?: "always" | "never") =>
    ask({ method: "PUT", operation, path, params }, nothing, repeat)

  const getFileStatus = (path: string) =>
    Effect.map(get("GETFILESTATUS", path, Answers.FileStatusAnswer), (answer) => answer.FileStatus)

  const status = (path: string): Result<Option.Option<M.FileStatus>> =>
    getFileStatus(path).pipe(
      Effect.map(Option.some),
      Effect.catchIf(
        (error) => error.reason._tag === "FileNotFound",
        () => Effect.succeedNone
      )
    )

  const exists = (path: string) => Effect.map(status(path), Option.isSome)

  const getFileBlockLocations = (path: string, range?: { readonly offset: number; readonly length: number }) =>
    Effect.map(
      get(
        "GETFILEBLOCKLOCATIONS",
        path,
        Answers.BlockLocationsAnswer,
        range === undefined ? {} : { offset: range.offset, length: range.length }
      ),
      ({ BlockLocations }) => {
        known.see(path, range?.offset ?? 0, BlockLocations.BlockLocation)
        return BlockLocations.BlockLocation
      }
    )

  const { open, readRange } = Reading.make(web, config, known, { getFileStatus, getFileBlockLocations })

  const remove = (path: string, options?: { readonly recursive?: boolean | undefined }): Result<boolean> => {
    const call: WebHdfs.Call = {
      method: "DELETE",
      operation: "DELETE",
      path,
      params: { recursive: options?.recursive ?? false }
    }
    // Nothing there any more: the delete whose answer was lost did it.
    const look = Effect.map(exists(path), (there) => (there ? Option.none<string>() : Option.some(`{"boolean":true}`)))
    return web.text(call, look).pipe(
      Effect.flatMap(({ body, exchange }) => Answers.BooleanAnswer(exchange, body)),
      Effect.map((answer) => answer.boolean),
      Effect.withSpan("HdfsClient.DELETE", { attributes: { path } })
    )
  }

  const rename = Effect.fn("HdfsClient.RENAME")(function* (from: string, to: string, mode: RenameMode = "none") {
    const bad = Path.badPath(to)
    const call: WebHdfs.Call = {
      method: "PUT",
      operation: "RENAME",
      path: from,
      params: { destination: to, renameoptions: mode === "legacy" ? undefined : mode.toUpperCase() }
    }
    if (bad !== undefined) return yield* web.fail(call, new E.InvalidArgument({ detail: `the target: ${bad}` }))
    // The source gone and the target there: the rename whose answer was lost did it.
    const look = Effect.map(Effect.all([exists(from), exists(to)]), ([before, after]) =>
      !before && after ? Option.some(mode === "legacy" ? `{"boolean":true}` : "") : Option.none<string>()
    )
    const { body, exchange } = yield* web.text(call, look)
    if (body.trim() === "") return true
    const answer = yield* Answers.BooleanAnswer(exchange, body)
    if (mode !== "legacy") {
      return yield* web.fail(
        call,
        new E.Unsupported({ detail: "this server does not know rename options and has done a plain rename" }),
        exchange.url.host
      )
    }
    return answer.boolean
  })

  const { append, create, renameThroughGateway, write } = Writing.make(web, config, {
    getFileStatus,
    status,
    remove,
    rename
  })

  const moveToTrash = Effect.fn("HdfsClient.moveToTrash")(function* (path: string) {
    const root = yield* getTrashRoot(path)
    const target = Path.child(root, `Current${path}`)
    yield* mkdirs(Path.parent(target), { permission: "700" })
    const taken = yield* exists(target)
    const to = taken ? `${target}${yield* Clock.currentTimeMillis}` : target
    yield* config.gateway ? renameThroughGateway(path, to, false) : rename(path, to)
    return to
  })

  const mkdirs: HdfsClient["Service"]["mkdirs"] = (path, options) =>
    Effect.map(
      ask(
        {
          method: "PUT",
          operation: "MKDIRS",
          path,
          params: { permission: options?.permission, unmaskedpermission: options?.unmaskedPermission }
        },
        Answers.BooleanAnswer
      ),
      (answer) => answer.boolean
    )

  const getTrashRoot = (path: string) =>
    Effect.map(get("GETTRASHROOT", path, Answers.PathAnswer), (answer) => answer.Path)

  const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`

  return HdfsClient.of({
    open,
    readRange,
    readRanges: (path, ranges, options) => {
      const concurrency = options?.concurrency ?? 8
      return Number.isInteger(concurrency) && concurrency > 0
        ? Effect.forEach(ranges, ({ length, offset }) => readRange(path, offset, length, options), { concurrency })
        : web.fail(
            { method: "GET", operation: "OPEN", path },
            new E.InvalidArgument({ detail: `concurrency is ${concurrency}; it has to be a whole number above 0` })
          )
    },
    create,
    write,
    append,
    concat: (path, sources) =>
      ask({ method: "POST", operation: "CONCAT", path, params: { sources: sources.join(",") } }, nothing, "never"),
    truncate: (path, newLength) =>
      Effect.map(
        ask(
          { method: "POST", operation: "TRUNCATE", path, params: { newlength: newLength } },
          Answers.BooleanAnswer,
          "never"
        ),
        (answer) => answer.boolean
      ),

    delete: remove,
    moveToTrash,
    rename,
    mkdirs,
    createSymlink: (link, target, options) =>
      put("CREATESYMLINK", link, { destination: target, createparent: options?.createParent ?? false }, "never"),

    getFileStatus,
    getFileLinkStatus: (path) =>
      Effect.map(get("GETFILELINKSTATUS", path, Answers.FileStatusAnswer), (answer) => answer.FileStatus),
    getLinkTarget: (path) => Effect.map(get("GETLINKTARGET", path, Answers.PathAnswer), (answer) => answer.Path),
    exists,
    listStatus: (path) => Listing.listStatus(get, path),
    listStatusBatch: (path) => Listing.listStatusBatch(get, path),
    getContentSummary: (path) =>
      Effect.map(get("GETCONTENTSUMMARY", path, Answers.ContentSummaryAnswer), (answer) => answer.ContentSummary),
    getFileChecksum: (path) =>
      Effect.map(get("GETFILECHECKSUM", path, Answers.FileChecksumAnswer), (answer) => answer.FileChecksum),
    getFileBlockLocations,
    checkAccess: (path, action) => get("CHECKACCESS", path, nothing, { fsaction: action }),
    setPermission: (path, permission) => put("SETPERMISSION", path, { permission }),
    setOwner: (path, { group, owner }) => put("SETOWNER", path, { owner, group }),
    setTimes: (path, { accessTime, modificationTime }) =>
      put("SETTIMES", path, { modificationtime: modificationTime ?? -1, accesstime: accessTime ?? -1 }),
    setReplication: (path, replication) =>
      Effect.map(
        ask({ method: "PUT", operation: "SETREPLICATION", path, params: { replication } }, Answers.BooleanAnswer),
        (answer) => answer.boolean
      ),

    getAclStatus: (path) =>
      Effect.map(get("GETACLSTATUS", path, Answers.AclStatusAnswer), (answer) => answer.AclStatus),
    setAcl: (path, entries) => put("SETACL", path, { aclspec: entries.join(",") }),
    modifyAclEntries: (path, entries) => put("MODIFYACLENTRIES", path, { aclspec: entries.join(",") }),
    // The server wants the field of the permission, empty.
    removeAclEntries: (path, entries) =>
      put("REMOVEACLENTRIES", path, {
        aclspec: entries.map((entry) => (/^(default:)?[^:]*:[^:]*$/.test(entry) ? `${entry}:` : entry)).join(",")
      }),
    removeDefaultAcl: (path) => put("REMOVEDEFAULTACL", path),
    removeAcl: (path) => put("REMOVEACL", path),

    getXAttrs: Effect.fnUntraced(function* (path: string, names?: ReadonlyArray<string>) {
      const ask = (name: string | undefined) =>
        get("GETXATTRS", path, Answers.XAttrsAnswer, { "xattr.name": name, encoding: "hex" })
      // Several names would be several parameters of one name; one request each is as good.
      const answers = names === undefined ? [yield* ask(undefined)] : yield* Effect.forEach(names, (name) => ask(name))
      return new Map(
        answers.flatMap(({ XAttrs }) =>
          XAttrs.map(({ name, value }): [string, Uint8Array] => [
            name,
            new Uint8Array(Buffer.from((value ?? "").replace(/^0x/, ""), "hex"))
          ])
        )
      )
    }),
    listXAttrs: (path) => Effect.map(get("LISTXATTRS", path, Answers.XAttrNamesAnswer), (answer) => answer.XAttrNames),
    setXAttr: (path, name, value, flag) =>
      put(
        "SETXATTR",
        path,
        {
          "xattr.name": name,
          "xattr.value": hex(value),
          flag: flag === undefined ? "CREATE,REPLACE" : flag.toUpperCase()
        },
        flag === "create" ? "never" : "always"
      ),
    removeXAttr: (path, name) => put("REMOVEXATTR", path, { "xattr.name": name }, "never"),

    getAllStoragePolicies: Effect.map(
      get("GETALLSTORAGEPOLICY", "", Answers.StoragePoliciesAnswer),
      (answer) => answer.BlockStoragePolicies.BlockStoragePolicy
    ),
    getStoragePolicy: (path) =>
      Effect.map(get("GETSTORAGEPOLICY", path, Answers.StoragePolicyAnswer), (answer) => answer.BlockStoragePolicy),
    setStoragePolicy: (path, policy) => put("SETSTORAGEPOLICY", path, { storagepolicy: policy }),
    unsetStoragePolicy: (path) => ask({ method: "POST", operation: "UNSETSTORAGEPOLICY", path }, nothing),
    satisfyStoragePolicy: (path) => put("SATISFYSTORAGEPOLICY", path),
    getErasureCodingPolicy: (path) =>
      get("GETECPOLICY", path, (exchange, body) =>
        ["", "null", "{}"].includes(body.trim()) ? Effect.undefined : Answers.ErasureCodingPolicyAnswer(exchange, body)
      ),
    setErasureCodingPolicy: (path, policy) => put("SETECPOLICY", path, { ecpolicy: policy }),
    unsetErasureCodingPolicy: (path) => ask({ method: "POST", operation: "UNSETECPOLICY", path }, nothing),
    getErasureCodingPolicies: Effect.map(
      get("GETECPOLICIES", "", Answers.ErasureCodingPoliciesAnswer),
      (answer) => answer.ErasureCodingPolicies.ErasureCodingPolicyInfo
    ),
    getErasureCodingCodecs: Effect.map(
      get("GETECCODECS", "", Answers.ErasureCodingCodecsAnswer),
      (answer) => answer.ErasureCodingCodecs
    ),
    enableErasureCodingPolicy: (policy) => put("ENABLEECPOLICY", "", { ecpolicy: policy }),
    disableErasureCodingPolicy: (policy) => put("DISABLEECPOLICY", "", { ecpolicy: policy }),

    allowSnapshot: (path) => put("ALLOWSNAPSHOT", path),
    disallowSnapshot: (path) => put("DISALLOWSNAPSHOT", path),
    createSnapshot: (path, name) => {
      const call: WebHdfs.Call = { method: "PUT", operation: "CREATESNAPSHOT", path, params: { snapshotname: name } }
      return Effect.map(ask(call, Answers.PathAnswer, "never"), (answer) => answer.Path)
    },
    renameSnapshot: (path, from, to) =>
      put("RENAMESNAPSHOT", path, { oldsnapshotname: from, snapshotname: to }, "never"),
    deleteSnapshot: (path, name) =>
      ask({ method: "DELETE", operation: "DELETESNAPSHOT", path, params: { snapshotname: name } }, nothing, "never"),
    getSnapshotDiff: (path, from, to) =>
      Effect.map(
        get("GETSNAPSHOTDIFF", path, Answers.SnapshotDiffAnswer, { oldsnapshotname: from, snapshotname: to }),
        (answer) => answer.SnapshotDiffReport
      ),
    getSnapshotDiffListing: (path, from, to) => Listing.getSnapshotDiffListing(get, path, from, to),
    getSnapshottableDirectories: Effect.map(
      get("GETSNAPSHOTTABLEDIRECTORYLIST", "", Answers.SnapshottableAnswer),
      (answer) => answer.SnapshottableDirectoryList ?? []
    ),
    getSnapshots: (path) =>
      Effect.map(get("GETSNAPSHOTLIST", path, Answers.SnapshotListAnswer), (answer) => answer.SnapshotList ?? []),

    getQuotaUsage: (path) =>
      Effect.map(get("GETQUOTAUSAGE", path, Answers.QuotaUsageAnswer), (answer) => answer.QuotaUsage),
    setQuota: (path, { namespace, space }) =>
      put("SETQUOTA", path, { namespacequota: namespace, storagespacequota: space }),
    setQuotaByStorageType: (path, type, space) =>
      put("SETQUOTABYSTORAGETYPE", path, { storagetype: type, storagespacequota: space }),

    getHomeDirectory: Effect.map(get("GETHOMEDIRECTORY", "", Answers.PathAnswer), (answer) => answer.Path),
    getTrashRoot,
    getTrashRoots: (options) =>
      Effect.map(
        get("GETTRASHROOTS", "", Answers.TrashRootsAnswer, { allusers: options?.allUsers ?? false }),
        (answer) => answer.Paths ?? []
      ),
    getServerDefaults: Effect.map(
      get("GETSERVERDEFAULTS", "", Answers.ServerDefaultsAnswer),
      (answer) => answer.FsServerDefaults
    ),
    getStatus: Effect.map(get("GETSTATUS", "", Answers.FsStatusAnswer), (answer) => answer.FsStatus),
    getDelegationToken: (options) =>
      get(
        "GETDELEGATIONTOKEN",
        "",
        (exchange, body) =>
          Effect.flatMap(Answers.TokenAnswer(exchange, body), ({ Token }) =>
            Token === null
              ? Effect.fail(
                  WebHdfs.failAt(
                    exchange,
                    new E.Unsupported({ detail: "the cluster is not secured and gives no delegation tokens" })
                  )
                )
              : Effect.succeed(Redacted.make(Token.urlString, { label: "delegation token" }))
          ),
        { renewer: options?.renewer, service: options?.service, kind: options?.kind }
      ),
    renewDelegationToken: (token) =>
      Effect.map(
        ask(
          { method: "PUT", operation: "RENEWDELEGATIONTOKEN", path: "", params: { token: Redacted.value(token) } },
          Answers.LongAnswer
        ),
        (answer) => answer.long
      ),
    cancelDelegationToken: (token) => put("CANCELDELEGATIONTOKEN", "", { token: Redacted.value(token) }, "never")
  })
})

/**
 * A client with a pool of connections of its own, kept alive, with the timeouts and certificates of `HdfsConfig`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<HdfsClient, never, HdfsConfig | HdfsAuth> = Layer.effect(HdfsClient, make)
