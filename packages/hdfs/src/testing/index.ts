/**
 * Real Hadoop daemons for tests, benchmarks and playing: NameNodes, DataNodes, an HttpFS gateway and a Kerberos KDC on this machine.
 *
 * @since 0.1.0
 */

/**
 * Starts, stops, kills and freezes a real HDFS cluster.
 *
 * @since 0.1.0
 */
export * as HadoopCluster from "./HadoopCluster.ts"

/**
 * Starts a real Kerberos realm, for a secured cluster.
 *
 * @since 0.1.0
 */
export * as Kdc from "./Kdc.ts"
