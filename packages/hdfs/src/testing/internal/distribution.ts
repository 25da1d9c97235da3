/** Hadoop's own jars, and what is kept beside them so that daemons start quickly. */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { storeEntries } from "../../internal/jar.ts"
import { exec, type HadoopError } from "../../internal/processes.ts"
import { superUser } from "./setting.ts"
import { writeConf } from "./siteFiles.ts"

const versions = { hdfs: "3.5.0", httpfs: "3.4.1" }
const packageDir = fileURLToPath(new URL("../../..", import.meta.url))
const cacheDir = process.env["SLUICE_HADOOP_CACHE"] ?? Path.join(packageDir, ".hadoop")

export const jarsDir = (kind: keyof typeof versions) => Path.join(cacheDir, `${kind}-${versions[kind]}-stored`)

/** The folder of a distribution's jars, fetched with Maven if it does not exist yet. */
export const jars = Effect.fnUntraced(function* (kind: keyof typeof versions) {
  const target = jarsDir(kind)
  if (Fs.existsSync(target)) return target
  const partial = `${target}.${process.pid}.${kind}`
  const pom = Path.join(packageDir, "hadoop", kind === "hdfs" ? "pom.xml" : "httpfs/pom.xml")
  yield* exec("mvn", ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${partial}`])
  yield* Effect.sync(() => {
    // At every start Jetty and Jersey look for their files by reading whole jars, and Java for its classes: 3 s of the CPU for a cluster.
    for (const name of Fs.readdirSync(partial)) storeEntries(Path.join(partial, name))
    // Two processes may fetch at once: the first to rename wins.
    if (Fs.existsSync(target)) Fs.rmSync(partial, { recursive: true })
    else Fs.renameSync(partial, target)
  })
  return target
})

/** Names the `java` of the `PATH`: an archive of classes fits only the `java` that made it. */
const javaId = (): string => {
  for (const folder of (process.env["PATH"] ?? "").split(Path.delimiter)) {
    const file = Path.join(folder, "java")
    if (!Fs.existsSync(file)) continue
    const { mtimeMs, size } = Fs.statSync(file)
    return `${size.toString(36)}-${Math.trunc(mtimeMs).toString(36)}`
  }
  return "none"
}

let recordings = 0

export interface ClassArchive {
  /** For the JVM. */
  readonly args: ReadonlyArray<string>
  /** Whether the JVM writes the archive when it ends. */
  readonly recording: boolean
  /** Called when the JVM has ended. One that was killed may have written half of it. */
  readonly ended: (killed: boolean) => void
}

/**
 * The classes of a kind of JVM in an archive beside the jars, which is mapped in place of loading, checking and linking them one by
 * one (AppCDS): that halves the CPU time of a start. Where there is none yet, a JVM of this kind writes it as it ends by itself.
 */
export const classArchive = (lib: string, kind: string): ClassArchive => {
  const target = Path.join(lib, `${kind}-${javaId()}.jsa`)
  // An archive that does not fit is silently not used.
  if (Fs.existsSync(target)) {
    return { args: ["-Xlog:disable", `-XX:SharedArchiveFile=${target}`], recording: false, ended: () => {} }
  }
  const partial = `${target}.${process.pid}-${++recordings}`
  return {
    args: ["-Xlog:disable", `-XX:ArchiveClassesAtExit=${partial}`],
    recording: true,
    ended: (killed) => {
      if (!Fs.existsSync(partial)) return
      if (killed) Fs.rmSync(partial)
      else Fs.renameSync(partial, target)
    }
  }
}

/** The folder of a NameNode that has been formatted, kept beside the jars. */
export const formattedImage = Effect.fnUntraced(function* (
  format: (conf: string) => Effect.Effect<unknown, HadoopError>
): Effect.fn.Return<string, HadoopError> {
  const target = Path.join(cacheDir, `formatted-${versions.hdfs}`)
  if (Fs.existsSync(target)) return target
  const partial = `${target}.${process.pid}`
  const image = Path.join(partial, "image")
  yield* writeConf(partial, {
    "fs.defaultFS": "hdfs://127.0.0.1:8020",
    "dfs.namenode.name.dir": `file://${image}`,
    "hadoop.tmp.dir": Path.join(partial, "tmp"),
    // The group of the root directory is in the image.
    "dfs.permissions.superusergroup": superUser
  })
  yield* format(partial).pipe(
    Effect.tap(() =>
      Effect.sync(() => {
        // Two processes may format at once: the first to rename wins.
        if (!Fs.existsSync(target)) Fs.renameSync(image, target)
      })
    ),
    Effect.ensuring(Effect.sync(() => Fs.rmSync(partial, { recursive: true })))
  )
  return target
})
