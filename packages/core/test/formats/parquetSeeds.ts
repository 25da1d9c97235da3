import { Effect } from "effect"
import { mutated } from "./parquetDamage.ts"
import { identity, tableOf } from "./parquetLaws.ts"
import { where } from "./parquetWhere.ts"

/** The laws of Parquet files in memory: what is wrong with the case of a seed, or nothing. */
export const laws = {
  identity: (seed: number) => identity("memory:///identity.parquet", tableOf(seed)),
  where: (seed: number) => Effect.map(where("memory:///where.parquet", seed), ({ wrong }) => wrong),
  mutated: (seed: number) => mutated("memory:///mutated.parquet", seed)
}
