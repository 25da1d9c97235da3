/**
 * For tests of code that uses Sluice: a contract suite for storage backends, and a storage that fails on demand.
 *
 * It needs `vitest` and `@effect/vitest`.
 *
 * @since 0.1.0
 */

export * as FaultyStorage from "./FaultyStorage.ts"
export * as StorageSuite from "./StorageSuite.ts"
