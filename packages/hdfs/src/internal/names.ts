/** The operations on names: delete, rename, make directories. */
import { Clock, Effect, Option } from "effect"
import * as E from "../HdfsError.ts"
import * as Answers from "./answers.ts"
import type { Asking } from "./asking.ts"
import type { Cluster, Names, RenameMode, Status } from "./contract.ts"
import { find } from "./metadata.ts"
import * as Path from "./path.ts"
import type * as WebHdfs from "./webhdfs.ts"

type Look = Pick<Status, "exists" | "getFileStatus">

const remove =
  ({ web }: Asking, { exists }: Look): Names["delete"] =>
  (path, options) => {
    const call: WebHdfs.Call = {
      method: "DELETE",
      operation: "DELETE",
      path,
      params: { recursive: options?.recursive ?? false }
    }
    // It no longer exists: the delete whose answer was lost has removed it.
    const look = Effect.map(exists(path), (there) => (there ? Option.none<string>() : Option.some(`{"boolean":true}`)))
    return web.text(call, look).pipe(
      Effect.flatMap(({ body, exchange }) => Answers.BooleanAnswer(exchange, body)),
      Effect.map((answer) => answer.boolean),
      Effect.withSpan("HdfsClient.DELETE", { attributes: { path } })
    )
  }

const rename = ({ web }: Asking, { exists }: Look) =>
  Effect.fn("HdfsClient.RENAME")(function* (from: string, to: string, mode: RenameMode = "none") {
    const bad = Path.badPath(to)
    const call: WebHdfs.Call = {
      method: "PUT",
      operation: "RENAME",
      path: from,
      params: { destination: to, renameoptions: mode === "legacy" ? undefined : mode.toUpperCase() }
    }
    if (bad !== undefined) return yield* web.fail(call, new E.InvalidArgument({ detail: `the target: ${bad}` }))
    // The source is gone and the target exists: the rename whose answer was lost was done.
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

/** The rename of an HttpFS gateway, which can only check the target beforehand. */
const throughGateway = ({ web }: Asking, { getFileStatus }: Look, names: Pick<Names, "delete" | "rename">) =>
  Effect.fnUntraced(function* (from: string, to: string, overwrite: boolean) {
    const call: WebHdfs.Call = { method: "PUT", operation: "RENAME", path: from }
    const there = yield* find(getFileStatus, to)
    if (Option.isSome(there)) {
      if (there.value.type === "DIRECTORY") {
        return yield* web.fail(call, new E.IsADirectory({ detail: `${to} is a directory` }))
      }
      if (!overwrite) return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${to} already exists` }))
      yield* names.delete(to)
    }
    if (!(yield* names.rename(from, to, "legacy"))) {
      return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${to} already exists, or ${from} is gone` }))
    }
    return true
  })

const mkdirs =
  ({ ask }: Asking): Names["mkdirs"] =>
  (path, options) =>
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

/** `renameThroughGateway` is for a gateway: a rename that fails, or replaces a file, if the target exists. */
export const make = (
  asking: Asking,
  gateway: boolean,
  look: Look,
  getTrashRoot: Cluster["getTrashRoot"]
): Names & { readonly renameThroughGateway: ReturnType<typeof throughGateway> } => {
  const names = { delete: remove(asking, look), rename: rename(asking, look), mkdirs: mkdirs(asking) }
  const renameThroughGateway = throughGateway(asking, look, names)
  return {
    ...names,
    renameThroughGateway,
    moveToTrash: Effect.fn("HdfsClient.moveToTrash")(function* (path: string) {
      const root = yield* getTrashRoot(path)
      const target = Path.child(root, `Current${path}`)
      yield* names.mkdirs(Path.parent(target), { permission: "700" })
      const taken = yield* look.exists(target)
      const to = taken ? `${target}${yield* Clock.currentTimeMillis}` : target
      yield* gateway ? renameThroughGateway(path, to, false) : names.rename(path, to)
      return to
    }),
    createSymlink: (link, target, options) =>
      asking.put("CREATESYMLINK", link, { destination: target, createparent: options?.createParent ?? false }, "never")
  }
}
