/**
 * Reads and writes files by URI. Nothing in Sluice touches a disk or a cluster in another way.
 *
 * `Storage` is one service, with one backend per scheme: `file:` ({@link layerLocal}), `memory:` ({@link layerMemory}),
 * `hdfs:` (`@sluice/hdfs`). The contract below is Hadoop's `FileSystem` contract, reduced to what a dataflow needs; one
 * suite (`@sluice/core/testing`, `StorageSuite`) tests every backend against it.
 *
 * **Paths**
 *
 * A path without a scheme is a local file and is taken literally, as in Hadoop's `Path`: `/data/a%20b` is a
 * name with a percent sign in it. A `file:` or `memory:` URI is percent-decoded (`file:///data/a%20b`), while
 * `?` and `#` stand for themselves in it: neither has a query or a fragment. Characters of a glob count only in `list`,
 * where a percent escape (in a URI) or a backslash takes their meaning away.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import * as exact from "./internal/exact.ts"
import * as local from "./internal/local.ts"
import * as memory from "./internal/memory.ts"
import type { Backend } from "./internal/model.ts"
import { fail, schemeOf } from "./internal/path.ts"
import { InvalidPath, type StorageError, Unsupported } from "./StorageError.ts"

export type { Backend, BlockLocation, ByteRange, FileStatus, RenameOptions } from "./internal/model.ts"

/**
 * Service that reads and writes files by URI. A path without a scheme is a local file, resolved against the working
 * directory.
 *
 * @category services
 * @since 0.1.0
 */
export class Storage extends Context.Service<
  Storage,
  Backend & {
    /** The schemes that have a backend, for messages. */
    readonly schemes: ReadonlyArray<string>
  }
>()("@sluice/core/Storage") {}

/**
 * Makes the backend of `file:`, the disk of this machine.
 *
 * **Details**
 *
 * A written file is synced to the disk before it gets its name; until then it is a hidden file beside its target,
 * `.<name>.<random>._COPYING_`. Links are followed, except by `**`, `rename` and `delete`; a broken link is not listed.
 * Renaming to another file system is `Unsupported`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLocal: Effect.Effect<Backend> = local.make

/**
 * Makes a backend of `memory:` with its own store, which is lost with it. For tests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<Backend> = memory.make

/**
 * Makes a backend that sends each path to the backend that `choose` returns, such as that of the path's cluster.
 *
 * **Details**
 *
 * `choose` is called for every operation, with the name of the method, and for both paths of a rename. A rename between
 * different backends is `Unsupported`; `place` is the word for a backend in that message: `cannot be renamed to another
 * cluster`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const route = (
  choose: (operation: string, path: string) => Effect.Effect<Backend, StorageError>,
  place: string
): Backend => {
  const backendOf = (operation: string, path: string) => Effect.suspend(() => choose(operation, path))
  return {
    list: (path) => Stream.unwrap(Effect.map(backendOf("list", path), (backend) => backend.list(path))),
    stat: (path) => Effect.flatMap(backendOf("stat", path), (backend) => backend.stat(path)),
    read: (path, range) => Stream.unwrap(Effect.map(backendOf("read", path), (backend) => backend.read(path, range))),
    readRange: (path, offset, length) =>
      Effect.flatMap(backendOf("readRange", path), (backend) => backend.readRange(path, offset, length)),
    write: (path, bytes, options) =>
      Effect.flatMap(backendOf("write", path), (backend) => backend.write(path, bytes, options)),
    rename: Effect.fnUntraced(function* (from, to, options) {
      const source = yield* backendOf("rename", from)
      if (source === (yield* backendOf("rename", to))) return yield* source.rename(from, to, options)
      return yield* fail(
        "rename",
        from,
        new Unsupported({
          detail: `cannot be renamed to another ${place} (${to}); write it there and delete the source`
        })
      )
    }),
    delete: (path, options) => Effect.flatMap(backendOf("delete", path), (backend) => backend.delete(path, options)),
    mkdirs: (path) => Effect.flatMap(backendOf("mkdirs", path), (backend) => backend.mkdirs(path)),
    realPath: (path) => Effect.flatMap(backendOf("realPath", path), (backend) => backend.realPath(path)),
    blocks: (path, known) => Effect.flatMap(backendOf("blocks", path), (backend) => backend.blocks(path, known))
  }
}

type Backends = { readonly [scheme: string]: Effect.Effect<Backend, unknown, unknown> }

type ErrorOf<B extends Backends> = Effect.Error<B[keyof B]>
type ServicesOf<B extends Backends> = Effect.Services<B[keyof B]>

/** The given record, with the errors and requirements of all entries together for each entry. */
type Makers<B extends Backends> = B & {
  readonly [scheme: string]: Effect.Effect<Backend, ErrorOf<B>, ServicesOf<B>>
}

/**
 * Makes a storage that sends each path to the backend of its scheme.
 *
 * **Details**
 *
 * A path without a scheme goes to `file:`. A scheme without a backend is `InvalidPath`, and a rename from one scheme to
 * another is `Unsupported`. Schemes are in lower case.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeSchemes = <const B extends Backends>(
  backends: Makers<B>
): Effect.Effect<Storage["Service"], ErrorOf<B>, ServicesOf<B>> => {
  const makers: { readonly [scheme: string]: Effect.Effect<Backend, ErrorOf<B>, ServicesOf<B>> } = backends
  const made = Effect.forEach(Object.entries(makers), ([scheme, make]) =>
    Effect.map(make, (backend) => [scheme, backend] as const)
  )
  return Effect.map(made, (entries) => dispatch(new Map(entries)))
}

const dispatch = (backends: ReadonlyMap<string, Backend>): Storage["Service"] => {
  const schemes = Array.from(backends.keys())

  const pick = (operation: string, path: string): Effect.Effect<Backend, StorageError> => {
    const scheme = schemeOf(path, (name) => backends.has(name))
    const backend = backends.get(scheme ?? "file")
    if (backend !== undefined) return Effect.succeed(backend)
    const there = schemes.map((name) => `${name}:`).join(", ")
    return Effect.fail(
      fail(
        operation,
        path,
        new InvalidPath({
          detail:
            scheme === undefined
              ? `the path has no scheme; this storage has ${there}`
              : `no backend for the scheme ${scheme}:; this storage has ${there}. Add one with Storage.layerSchemes`
        })
      )
    )
  }

  return Storage.of({
    ...route(pick, "scheme"),
    schemes,
    read: (path, range) => Stream.unwrap(Effect.map(pick("read", path), (backend) => exact.read(backend, path, range))),
    readRange: (path, offset, length) =>
      Effect.flatMap(pick("readRange", path), (backend) => exact.readRange(backend, path, offset, length))
  })
}

/**
 * A storage of the given schemes, each with an effect that makes its backend, as in `Storage.layerSchemes({ file:
 * Storage.makeLocal, memory: Storage.makeMemory })`. The resources of the backends are released with the layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSchemes = <const B extends Backends>(
  backends: Makers<B>
): Layer.Layer<Storage, ErrorOf<B>, Exclude<ServicesOf<B>, Scope.Scope>> =>
  Layer.effect(Storage, makeSchemes<B>(backends))

/**
 * Only `file:`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLocal: Layer.Layer<Storage> = layerSchemes({ file: makeLocal })

/**
 * Only `memory:`, empty each time it is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Storage> = layerSchemes({ memory: makeMemory })

/**
 * `file:` and `memory:`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Storage> = layerSchemes({ file: makeLocal, memory: makeMemory })
