/** The configuration of the daemons of a cluster. */
import * as Path from "node:path"
import type { MasterPorts, NodePorts, Secured, Setting } from "./setting.ts"
import { superUser } from "./setting.ts"
import type { Properties } from "./siteFiles.ts"

const spnego = (prefix: string, { keytab, realm }: Secured): Properties => ({
  [`${prefix}.kerberos.principal`]: `HTTP/localhost@${realm}`,
  [`${prefix}.kerberos.keytab`]: keytab
})

const login = (daemon: string, { keytab, realm }: Secured): Properties => ({
  [`dfs.${daemon}.kerberos.principal`]: `${superUser}/localhost@${realm}`,
  [`dfs.${daemon}.keytab.file`]: keytab
})

/** The configuration of every daemon of a secured cluster. */
const securedProperties = (secured: Secured): Properties => ({
  "hadoop.security.authentication": "kerberos",
  "hadoop.http.authentication.type": "kerberos",
  "hadoop.http.authentication.kerberos.endpoint.whitelist": "/jmx",
  ...spnego("hadoop.http.authentication", secured),
  ...spnego("dfs.web.authentication", secured),
  ...login("namenode", secured),
  ...login("datanode", secured),
  "dfs.block.access.token.enable": "true",
  "dfs.data.transfer.protection": "authentication",
  // Block transfer is guarded by SASL, but its HTTP has no TLS here, for which ports below 1024 would be wanted.
  "ignore.secure.ports.for.testing": "true"
})

/** The configuration that is the same in every cluster. */
const fixed: Properties = {
  "dfs.bytes-per-checksum": "512",
  "dfs.namenode.fs-limits.min-block-size": "512",
  "dfs.namenode.datanode.registration.ip-hostname-check": "false",
  "dfs.namenode.heartbeat.recheck-interval": "2000",
  "dfs.heartbeat.interval": "1",
  "dfs.namenode.safemode.extension": "0",
  // Every replica is written at once, even if one of the few DataNodes has more to do, and a lost one is soon replaced.
  "dfs.namenode.redundancy.considerLoad": "false",
  "dfs.namenode.redundancy.interval.seconds": "1",
  "dfs.namenode.replication.work.multiplier.per.iteration": "100",
  "dfs.namenode.replication.max-streams": "50",
  "dfs.namenode.replication.max-streams-hard-limit": "100",
  "dfs.namenode.replication.min": "1",
  "dfs.namenode.delegation.token.always-use": "true",
  "dfs.namenode.acls.enabled": "true",
  "fs.trash.interval": "60",
  "dfs.client.use.datanode.hostname": "false",
  "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
  "dfs.datanode.du.reserved": "0",
  "ipc.client.connect.max.retries": "3"
}

/** The addresses of the only NameNode, or of several with the edits in a shared folder. */
const nameNodeProperties = ({ directory, httpHost, masters }: Setting): Properties => {
  const [first, ...others] = masters
  const local = ({ rpc }: MasterPorts) => `127.0.0.1:${rpc}`
  const web = ({ http }: MasterPorts) => `${httpHost}:${http}`
  if (others.length === 0) {
    return {
      "fs.defaultFS": `hdfs://${local(first)}`,
      "dfs.namenode.rpc-address": local(first),
      "dfs.namenode.http-address": web(first)
    }
  }
  return {
    "fs.defaultFS": "hdfs://sluice",
    "dfs.nameservices": "sluice",
    "dfs.ha.namenodes.sluice": masters.map((_, i) => `nn${i + 1}`).join(","),
    "dfs.client.failover.proxy.provider.sluice":
      "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
    "dfs.namenode.shared.edits.dir": `file://${Path.join(directory, "shared")}`,
    "dfs.ha.fencing.methods": "shell(/bin/true)",
    "dfs.ha.tail-edits.period": "1s",
    ...Object.fromEntries(
      masters.flatMap((each, i) => [
        [`dfs.namenode.rpc-address.sluice.nn${i + 1}`, local(each)],
        [`dfs.namenode.http-address.sluice.nn${i + 1}`, web(each)]
      ])
    )
  }
}

const proxyUser = (prefix: string): Properties => ({
  [`${prefix}.proxyuser.${superUser}.hosts`]: "*",
  [`${prefix}.proxyuser.${superUser}.groups`]: "*"
})

/** The configuration of all daemons and clients of the cluster. */
export const commonProperties = (
  setting: Setting,
  options: { readonly replication: number; readonly blockSize: number; readonly more: Properties }
): Properties => ({
  ...fixed,
  ...nameNodeProperties(setting),
  ...proxyUser("hadoop"),
  "hadoop.tmp.dir": Path.join(setting.directory, "tmp"),
  "dfs.replication": String(Math.min(options.replication, setting.nodes.length)),
  "dfs.blocksize": String(options.blockSize),
  "dfs.permissions.superusergroup": superUser,
  ...(setting.secured === undefined ? {} : securedProperties(setting.secured)),
  ...options.more
})

/**
 * The additional configuration of a DataNode: its identity, and how it calls its NameNode, through a proxy on
 * `proxyPort`.
 */
export const dataNodeProperties = (
  host: string,
  folder: string,
  { data, http, ipc }: NodePorts,
  proxyPort: number
): Properties => ({
  "hadoop.socks.server": `127.0.0.1:${proxyPort}`,
  "hadoop.rpc.socket.factory.class.default": "org.apache.hadoop.net.SocksSocketFactory",
  // Blocks need no proxy.
  "hadoop.rpc.socket.factory.class.ClientProtocol": "org.apache.hadoop.net.StandardSocketFactory",
  // When its NameNode restarts: after the last of these retries it would pause for 5 s.
  "ipc.client.connect.max.retries": "300",
  "ipc.client.connect.retry.interval": "200",
  // More than a heartbeat, less than a NameNode takes to restart: the first call after that would fail on a dead connection.
  "ipc.client.connection.maxidletime": "1500",
  "dfs.datanode.data.dir": `file://${folder}`,
  "dfs.datanode.hostname": host,
  "dfs.datanode.address": `0.0.0.0:${data}`,
  "dfs.datanode.http.address": `0.0.0.0:${http}`,
  "dfs.datanode.ipc.address": `0.0.0.0:${ipc}`
})

/** The gateway's own file. Hadoop's files are in the same folder. */
export const httpfsProperties = (conf: string, { httpHost, httpfsPort, secured }: Setting): Properties => ({
  "httpfs.http.hostname": httpHost,
  "httpfs.http.port": String(httpfsPort),
  "httpfs.hadoop.config.dir": conf,
  ...proxyUser("httpfs"),
  "httpfs.authentication.signature.secret.file": Path.join(conf, "httpfs-signature.secret"),
  ...(secured === undefined
    ? {}
    : {
        "httpfs.authentication.type": "kerberos",
        ...spnego("httpfs.authentication", secured),
        "httpfs.hadoop.authentication.type": "kerberos",
        "httpfs.hadoop.authentication.kerberos.principal": `${superUser}/localhost@${secured.realm}`,
        "httpfs.hadoop.authentication.kerberos.keytab": secured.keytab
      })
})
