/** Questions and commands to a running cluster. */
import { Effect, Schedule, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { exec, HadoopError } from "../../internal/processes.ts"
import type { Daemon } from "./daemon.ts"
import { java } from "./daemons.ts"
import { classArchive } from "./distribution.ts"
import type { Setting } from "./setting.ts"
import type { Properties } from "./siteFiles.ts"

const Beans = Schema.fromJsonString(
  Schema.Struct({ beans: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
)

export const jmx = (daemon: Daemon, query: string) =>
  Effect.tryPromise({
    try: (signal) => fetch(`${daemon.url}/jmx?qry=${query}`, { signal }).then((response) => response.text()),
    catch: (cause) => cause
  }).pipe(
    Effect.flatMap(Schema.decodeEffect(Beans)),
    Effect.map(({ beans }) => beans),
    Effect.mapError((cause) => new HadoopError({ detail: `${daemon.name} did not answer /jmx?qry=${query}`, cause }))
  )

export type Run = (mainClass: string, args: ReadonlyArray<string>) => Effect.Effect<string, HadoopError>

/** Runs command classes with the configuration in `conf`. */
export const runner =
  (setting: Setting, conf: string, env: Properties): Run =>
  (mainClass, args) =>
    Effect.suspend(() => {
      const archive = classArchive(setting.lib, "admin")
      return exec("java", [...archive.args, ...java(setting, "admin", conf, mainClass, args, "256m")], {
        env: { ...process.env, ...env }
      }).pipe(Effect.onExit((exit) => Effect.sync(() => archive.ended(exit._tag === "Failure"))))
    })

/** Which NameNode is active, and how to make another one active. */
export const activation = (nameNodes: NonEmptyReadonlyArray<Daemon>, run: Run) => {
  // If there are two, both begin as standbys.
  let active = nameNodes.length > 1 ? undefined : 0
  const admin = (args: ReadonlyArray<string>) => run("org.apache.hadoop.hdfs.tools.DFSHAAdmin", args)
  return {
    /** The NameNode to ask. */
    current: () => nameNodes[active ?? 0] ?? nameNodes[0],
    transition: Effect.fnUntraced(function* (target: number) {
      const from = active
      const alive = from !== undefined && (yield* nameNodes[from]?.pid ?? Effect.undefined) !== undefined
      if (alive && from !== target) yield* admin(["-failover", `nn${from + 1}`, `nn${target + 1}`])
      // Otherwise it asks the others whether they are standbys, and one of them may be dead.
      else yield* admin(["-transitionToActive", "--forceactive", `nn${target + 1}`])
      active = target
    })
  }
}

/** Waits until this number of DataNodes is alive and the NameNode has left safe mode. */
export const awaitLive = (nameNode: () => Daemon, count: number) =>
  Effect.suspend(() => jmx(nameNode(), "Hadoop:service=NameNode,name=FSNamesystemState")).pipe(
    Effect.flatMap(([state]) =>
      state?.["NumLiveDataNodes"] === count && state["FSState"] === "Operational"
        ? Effect.void
        : Effect.fail(new HadoopError({ detail: `not ${count} live DataNodes: ${JSON.stringify(state)}` }))
    ),
    Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 600 })
  )
