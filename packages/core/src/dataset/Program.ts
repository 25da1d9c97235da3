/**
 * Runs a program as a process: how it reacts to signals, and with which exit code it ends.
 *
 * @since 0.1.0
 */
import { Cause, type Effect, Exit, Runtime } from "effect"
import * as os from "node:os"
import * as Gate from "../commit/internal/gate.ts"

// The signals of a terminal, a supervisor and a closed terminal.
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

type Signal = (typeof signals)[number]

// The exit code that shells give a process ended by a signal.
const codeOf = (signal: Signal): number => 128 + os.constants.signals[signal]

// How long a program continues after a commit during which a signal arrived, to report what it wrote and to close what
// it opened.
const graceMillis = 1000

const repeatMillis = 300

/**
 * Runs an effect as the main program of the process.
 *
 * **Details**
 *
 * `SIGINT` (Ctrl-C), `SIGTERM` and `SIGHUP` interrupt it, so that what it began is cleaned up: the files of a write that has not
 * committed, spill files, leases. A second signal ends the process at once, and the next run cleans up after it
 * (one within 300 ms is the first again, as npm passes it on).
 *
 * A signal that arrives while a write commits waits for the end of the commit and one more second, in which a program
 * that has nothing left to do ends with success. If it reported an interrupt, it would be run again, and an append
 * would be doubled.
 *
 * The exit code is 0 after success, 130, 143 or 129 after an interrupt by these signals, and after a failure the code
 * that `Runtime.defaultTeardown` gives it, 1 by default.
 *
 * **Example** (Running a job)
 *
 * ```ts
 * import { Dataset, Engine, Program } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * Dataset.range(0, 10).pipe(
 *   Dataset.map(String),
 *   Dataset.writeText("out"),
 *   Effect.provide(Engine.layer),
 *   Program.runMain
 * )
 * ```
 *
 * @category actions
 * @since 0.1.0
 */
export const runMain: {
  (options?: {
    readonly disableErrorReporting?: boolean | undefined
    readonly teardown?: Runtime.Teardown | undefined
  }): <E, A>(effect: Effect.Effect<A, E>) => void
  <E, A>(
    effect: Effect.Effect<A, E>,
    options?: {
      readonly disableErrorReporting?: boolean | undefined
      readonly teardown?: Runtime.Teardown | undefined
    }
  ): void
} = Runtime.makeRunMain(({ fiber, teardown }) => {
  let received: Signal | undefined
  let at = 0
  let grace: ReturnType<typeof setTimeout> | undefined

  const interrupt = () => fiber.interruptUnsafe(fiber.id)

  const onSignal = (signal: Signal) => {
    // A Ctrl-C that npm passes on arrives twice.
    if (received !== undefined && performance.now() - at < repeatMillis) return
    if (received !== undefined) process.exit(codeOf(signal))
    received = signal
    at = performance.now()
    if (!Gate.isHeld()) return interrupt()
    process.stderr.write("finishing the commit; send the signal again to stop at once\n")
    Gate.whenFree(() => {
      grace = setTimeout(interrupt, graceMillis)
    })
  }

  for (const signal of signals) process.on(signal, onSignal)
  fiber.addObserver((exit) => {
    clearTimeout(grace)
    for (const signal of signals) process.removeListener(signal, onSignal)
    const signal = received
    if (signal !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
      return process.exit(codeOf(signal))
    }
    teardown(exit, (code) => {
      if (signal !== undefined || code !== 0) process.exit(code)
    })
  })
})
