/**
 * What tests of code on Sluice need: a contract suite for storage backends, and storage that fails on demand.
 *
 * Needs `vitest` and `@effect/vitest` beside it.
 *
 * @since 0.1.0
 */

export * as FaultyStorage from "./FaultyStorage.ts"
export * as StorageSuite from "./StorageSuite.ts"
