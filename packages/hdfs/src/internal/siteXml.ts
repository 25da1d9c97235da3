import { Option, Schema } from "effect"
import { XMLParser } from "fast-xml-parser"

/** What a Hadoop configuration says about a cluster. */
export interface HadoopConf {
  readonly nameNodes: ReadonlyArray<string>
  readonly authorities: ReadonlyArray<string>
  readonly authentication: "simple" | "kerberos"
}

const Site = Schema.Struct({
  configuration: Schema.Union([
    Schema.Struct({
      property: Schema.optional(
        Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.optional(Schema.String) }))
      )
    }),
    Schema.Literal("")
  ])
})
const decodeSite = Schema.decodeUnknownOption(Site)

const parser = new XMLParser({ parseTagValue: false, isArray: (name) => name === "property", processEntities: true })

/** Names and values of a `*-site.xml`; `undefined` if it is not such a file. */
export const parseSite = (text: string): ReadonlyMap<string, string> | undefined => {
  let document: unknown
  try {
    document = parser.parse(text, true)
  } catch {
    return undefined
  }
  const site = decodeSite(document)
  if (Option.isNone(site)) return undefined
  const configuration = site.value.configuration
  return new Map(
    configuration === ""
      ? []
      : (configuration.property ?? []).map(({ name, value }) => [name.trim(), (value ?? "").trim()])
  )
}

/** The addresses of a nameservice, or why there are none. */
export const resolve = (raw: ReadonlyMap<string, string>, nameservice: string | undefined): HadoopConf | string => {
  const get = (name: string): string | undefined => {
    let value = raw.get(name)
    // Hadoop replaces at most 20 deep.
    for (let depth = 0; value !== undefined && depth < 20 && value.includes("${"); depth++) {
      value = value.replace(/\$\{([^}$\s]+)\}/g, (whole, key: string) => raw.get(key) ?? whole)
    }
    return value === "" ? undefined : value
  }
  const list = (name: string) =>
    (get(name) ?? "")
      .split(",")
      .map((each) => each.trim())
      .filter((each) => each !== "")
  const secure = get("dfs.http.policy") === "HTTPS_ONLY"
  const authentication = get("hadoop.security.authentication") === "kerberos" ? "kerberos" : "simple"
  const kind = secure ? "https" : "http"
  const port = secure ? "9871" : "9870"
  const defaultFs = get("fs.defaultFS") ?? get("fs.default.name")
  const authority = /^\w+:\/\/([^/]+)/.exec(defaultFs ?? "")?.[1]
  const service = nameservice ?? authority
  const services = list("dfs.nameservices")
  const url = (address: string, rpc: string | undefined) => {
    // A wildcard listens everywhere: the host is the one of the RPC address.
    const host =
      /^0\.0\.0\.0(:|$)/.test(address) && rpc !== undefined ? (rpc.split(":")[0] ?? "") : (address.split(":")[0] ?? "")
    return `${kind}://${host}:${address.split(":")[1] ?? port}`
  }
  if (service !== undefined && services.includes(service)) {
    const ids = list(`dfs.ha.namenodes.${service}`)
    const suffixes = ids.length === 0 ? [`.${service}`] : ids.map((id) => `.${service}.${id}`)
    const nameNodes: Array<string> = []
    const authorities = [service]
    for (const suffix of suffixes) {
      const rpc = get(`dfs.namenode.rpc-address${suffix}`)
      const address = get(`dfs.namenode.${kind}-address${suffix}`) ?? rpc?.split(":")[0]
      if (address === undefined)
        return `neither dfs.namenode.${kind}-address${suffix} nor dfs.namenode.rpc-address${suffix} is set`
      nameNodes.push(url(address, rpc))
      if (rpc !== undefined) authorities.push(rpc)
    }
    return { nameNodes, authorities, authentication }
  }
  if (nameservice !== undefined) return `dfs.nameservices (${services.join(", ")}) does not have ${nameservice}`
  if (authority === undefined) return `fs.defaultFS (${defaultFs ?? "not set"}) names no NameNode`
  const rpc = get("dfs.namenode.rpc-address") ?? authority
  const address = get(`dfs.namenode.${kind}-address`) ?? authority.split(":")[0] ?? ""
  return { nameNodes: [url(address, rpc)], authorities: [authority], authentication }
}
