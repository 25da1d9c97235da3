/** What a storage on HDFS changes. */
import type { Backend, RenameOptions } from "@sluice/core/Storage"
import * as S from "@sluice/core/StorageError"
import * as StoragePath from "@sluice/core/StoragePath"
import { Effect, type Stream } from "effect"
import type { HdfsClient } from "../HdfsClient.ts"
import { HdfsError } from "../HdfsError.ts"
import { parent } from "./path.ts"
import { storageError, toReason, wrap } from "./storageErrors.ts"
import { type Locate, toPath } from "./storagePaths.ts"

type Client = HdfsClient["Service"]

const mkdirsAt = (client: Client, operation: string, uri: string, path: string) =>
  Effect.asVoid(client.mkdirs(path)).pipe(
    Effect.mapError((error) =>
      storageError(operation, uri, error.reason._tag === "FileAlreadyExists" ? new S.NotADirectory() : toReason(error))
    )
  )

/** A rename, by its URIs and by the paths of the cluster. */
interface Rename {
  readonly fromUri: string
  readonly toUri: string
  readonly from: string
  readonly to: string
  readonly overwrite: boolean
  readonly parents: boolean
}

/** Looks for what the server would not refuse: the NameNode replaces an empty directory too, and a gateway moves into a directory. */
const clearTarget = Effect.fnUntraced(function* (client: Client, gateway: boolean, { overwrite, to, toUri }: Rename) {
  const there = yield* client.getFileStatus(to).pipe(
    Effect.map((status) => status.type),
    Effect.catchIf(
      (error) => error.reason._tag === "FileNotFound",
      () => Effect.undefined
    ),
    wrap("rename", toUri)
  )
  if (there === "DIRECTORY" || (there !== undefined && !overwrite)) {
    return yield* storageError("rename", toUri, new S.AlreadyExists())
  }
  if (gateway && there !== undefined) yield* wrap("rename", toUri)(client.delete(to))
})

const renameOnce = Effect.fnUntraced(function* (client: Client, gateway: boolean, rename: Rename) {
  const { from, fromUri, overwrite, parents, to, toUri } = rename
  yield* wrap("rename", fromUri)(client.getFileStatus(from))
  if (parents) yield* mkdirsAt(client, "rename", toUri, parent(to))
  if (overwrite || gateway) yield* clearTarget(client, gateway, rename)
  const done = yield* client.rename(from, to, gateway ? "legacy" : overwrite ? "overwrite" : "none").pipe(
    wrap("rename", toUri),
    // Which of the two is missing the server does not say.
    Effect.catchReason("StorageError", "NotFound", () =>
      Effect.andThen(
        wrap("rename", fromUri)(client.getFileStatus(from)),
        Effect.fail(storageError("rename", toUri, new S.NotFound()))
      )
    )
  )
  if (done) return
  // A gateway does not say why: the source or the parent is missing, or another writer was faster.
  yield* wrap("rename", fromUri)(client.getFileStatus(from))
  const isThere = yield* wrap("rename", toUri)(client.exists(to))
  return yield* storageError("rename", toUri, isThere ? new S.AlreadyExists() : new S.NotFound())
})

const rename = (client: Client, gateway: boolean, locate: Locate): Backend["rename"] =>
  Effect.fn("HdfsStorage.rename")(function* (fromUri: string, toUri: string, options?: RenameOptions) {
    const from = (yield* locate("rename", fromUri)).segments
    const to = (yield* locate("rename", toUri)).segments
    const obstacle = StoragePath.renameObstacle(from, to)
    if (obstacle !== undefined) {
      return yield* storageError("rename", obstacle.isSource ? fromUri : toUri, obstacle.reason)
    }
    const { overwrite = false, parents = true } = options ?? {}
    const once = renameOnce(client, gateway, {
      fromUri,
      toUri,
      from: toPath(from),
      to: toPath(to),
      overwrite,
      parents
    })
    // Tried again if another job that has just ended removed the empty parent in between.
    return yield* Effect.retry(once, {
      times: 20,
      while: (error) => parents && error.reason._tag === "NotFound" && error.path === toUri
    })
  })

const write = (client: Client, locate: Locate): Backend["write"] =>
  Effect.fn("HdfsStorage.write")(function* <E, R>(
    uri: string,
    bytes: Stream.Stream<Uint8Array, E, R>,
    options?: { readonly overwrite?: boolean | undefined }
  ) {
    const { segments } = yield* locate("write", uri)
    if (segments.length === 0) return yield* storageError("write", uri, new S.IsADirectory())
    return yield* client
      .write(toPath(segments), bytes, { overwrite: options?.overwrite })
      .pipe(
        Effect.mapError((error) => (error instanceof HdfsError ? storageError("write", uri, toReason(error)) : error))
      )
  })

export const changes = (
  client: Client,
  gateway: boolean,
  locate: Locate
): Pick<Backend, "write" | "rename" | "delete" | "mkdirs"> => ({
  write: write(client, locate),
  rename: rename(client, gateway, locate),
  delete: Effect.fn("HdfsStorage.delete")(function* (uri, options) {
    const { segments } = yield* locate("delete", uri)
    if (segments.length === 0) return yield* storageError("delete", uri, StoragePath.rootIsKept)
    return yield* client.delete(toPath(segments), options).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "NotADirectory",
        () => Effect.succeed(false)
      ),
      wrap("delete", uri)
    )
  }),
  mkdirs: Effect.fn("HdfsStorage.mkdirs")(function* (uri) {
    const { segments } = yield* locate("mkdirs", uri)
    yield* mkdirsAt(client, "mkdirs", uri, toPath(segments))
  })
})
