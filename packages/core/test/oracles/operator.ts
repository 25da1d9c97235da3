/** What an operator of a random pipeline is: a step of a `Dataset`, and what it should do to arrays. */
import type { Effect } from "effect"
import { type Engine, type Storage } from "@sluice/core"
import { type Model, type Rows, wrap } from "./model.ts"
import type { Op } from "./spec.ts"

/** What steps need to know about their run. */
export interface Env {
  /** Called for the rows that pass a `tap`: it may stop there for good, or throw. */
  readonly passing: () => Effect.Effect<void>
  /** The same for pure steps. */
  readonly touched: () => void
  /** A new folder. */
  readonly folder: () => string
  readonly keep: (cached: Rows) => void
  /** From here on the test acts itself, without faults. */
  readonly calm: Effect.Effect<void>
  readonly facts: Facts
}

/** What the account of a job may say. */
export interface Facts {
  /** Whether some step drops or adds rows. */
  readonly filters: boolean
  /** Whether some step ends before its input does. */
  readonly cuts: boolean
  /**
   * A later action may find a partition in a cache although an exchange has written it once more: those rows are cut.
   */
  readonly caches: boolean
  /** The rows of the source, if it is read once and completely, and how many of them are set aside. */
  readonly read: number | undefined
  readonly setAside: number | undefined
  /** Whether the steps yield the same rows in the same order each time. */
  readonly steady: boolean
}

/** A step of one input: what it does to a dataset, and to a model of it. */
export interface Unary {
  readonly model: (self: Model, op: Op) => Model
  readonly build: (self: Rows, op: Op, env: Env) => Rows | Effect.Effect<Rows, unknown, Engine.Engine | Storage.Storage>
}

/** A step of two inputs. */
export interface Binary {
  readonly model2: (self: Model, that: Model, op: Op) => Model
  readonly build2: (self: Rows, that: Rows, op: Op, env: Env) => Rows
}

export type Operator = Unary | Binary

export const isBinary = (operator: Operator): operator is Binary => "model2" in operator

/** A value made of two. */
export const combined = (left: number, right: number) => wrap(left * 31 + right)

export const add = (left: number, right: number) => wrap(left + right)
