/**
 * Real Hadoop daemons for tests, benchmarks and playing: NameNodes, DataNodes and an HttpFS gateway on this machine.
 *
 * @since 0.1.0
 */

/**
 * Starts, stops, kills and freezes a real HDFS cluster.
 *
 * @since 0.1.0
 */
export * as HadoopCluster from "./HadoopCluster.ts"
