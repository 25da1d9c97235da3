import { Channel, Stream } from "effect"

/** The rows of one partition inside the engine, where types are erased. */
export type Rows = Stream.Stream<unknown, unknown, unknown>

/**
 * A stream that is made when it is read. For one that every task makes: `Stream.suspend` keeps each of its streams in a weak map,
 * which a collector looks through again and again.
 */
export const deferred = <A, E, R>(make: () => Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  Stream.fromChannel(Channel.suspend(() => make().channel))
