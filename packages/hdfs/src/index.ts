/**
 * HDFS for Effect programs, over WebHDFS and HttpFS, without a JVM.
 *
 * @since 0.1.0
 */

/**
 * The identity of a client.
 *
 * @since 0.1.0
 */
export * as HdfsAuth from "./HdfsAuth.ts"

/**
 * The operations of HDFS.
 *
 * @since 0.1.0
 */
export * as HdfsClient from "./HdfsClient.ts"

/**
 * Where a cluster is and how patient a client is with it.
 *
 * @since 0.1.0
 */
export * as HdfsConfig from "./HdfsConfig.ts"

/**
 * What can go wrong.
 *
 * @since 0.1.0
 */
export * as HdfsError from "./HdfsError.ts"

/**
 * The answers of WebHDFS.
 *
 * @since 0.1.0
 */
export * as HdfsModel from "./HdfsModel.ts"

/**
 * `hdfs:` paths of any cluster, connected at the first use.
 *
 * @since 0.1.0
 */
export * as HdfsSchemes from "./HdfsSchemes.ts"

/**
 * HDFS as a backend of Sluice's `Storage`.
 *
 * @since 0.1.0
 */
export * as HdfsStorage from "./HdfsStorage.ts"

/**
 * A stepwise check of the connection.
 *
 * @since 0.1.0
 */
export * as Probe from "./Probe.ts"
