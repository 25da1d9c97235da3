/** The settings of a cluster that are decided before it starts. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Properties } from "./siteFiles.ts"

export const superUser = "hdfs"

export interface MasterPorts {
  readonly rpc: number
  readonly http: number
}

export interface NodePorts {
  readonly data: number
  readonly http: number
  readonly ipc: number
}

/** The realm of a secured cluster, and the file with the keys of its own principals. */
export interface Secured {
  readonly realm: string
  readonly keytab: string
}

export interface Setting {
  /** The folder for all files. */
  readonly directory: string
  /** The folder of Hadoop's jars. */
  readonly lib: string
  readonly masters: NonEmptyReadonlyArray<MasterPorts>
  readonly nodes: ReadonlyArray<NodePorts>
  readonly httpfsPort: number
  /** The host name of NameNodes and HttpFS in URLs. */
  readonly httpHost: string
  readonly secured: Secured | undefined
  readonly jvmArgs: ReadonlyArray<string>
  readonly env: Properties
}
