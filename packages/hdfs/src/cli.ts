#!/usr/bin/env node
/**
 * The `sluice-hdfs` command. It is loaded after Node was told to keep compiled code.
 *
 * @since 0.1.0
 */
import { enableCompileCache } from "node:module"

enableCompileCache()
const { main } = await import("./internal/command.ts")
main()
