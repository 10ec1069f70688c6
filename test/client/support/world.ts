// test/client/support/world.ts — what does a test of the engine start from?
import type { ClientEvent } from '../../../src/client/events.ts'
import { CLIENT_LIMITS, CLIENT_TIMING } from '../../../src/client/limits.ts'
import type { Context } from '../../../src/client/remote/context.ts'
import type { Clock } from '../../../src/rpc/index.ts'
import type { FakeCluster } from './fake-cluster.ts'

export const realClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(fire, delayMs) {
    const timer = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (fire) => void setImmediate(fire),
}

/** Short enough for a test, in the same proportions. */
export const QUICK_TIMING = {
  ...CLIENT_TIMING,
  managerWaitMs: 5_000,
  serversWaitMs: 400,
  pollMs: 50,
  stallMs: 2_000,
  backoffMs: 10,
  backoffMsMax: 100,
}

export function contextFor(cluster: FakeCluster, limits = {}) {
  const events: ClientEvent[] = []
  const context: Context = {
    peers: cluster.peers,
    manager: cluster.manager,
    clock: realClock,
    limits: { ...CLIENT_LIMITS, ...limits },
    timing: QUICK_TIMING,
    onEvent: (event) => void events.push(event),
    signal: new AbortController().signal,
  }
  return { context, events }
}

/** mulberry32: the same bytes for the same seed, anywhere. */
export function prng(seed: number) {
  let state = (seed * 2_654_435_761 + 1) | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    /** From 0 to below `end`. */
    below: (end: number): number => next() % end,
    bytes(length: number): Buffer {
      const words = new Uint32Array(Math.ceil(length / 4))
      for (let index = 0; index < words.length; index += 1) words[index] = next()
      return Buffer.from(words.buffer, 0, length)
    },
  }
}
