// protocol/congestion/bbr-gains.ts — in each of its states, how fast does BBR send, and how much?

export type BbrState = 'startup' | 'drain' | 'down' | 'cruise' | 'refill' | 'up' | 'probe_rtt'

export const PACING_GAIN: Readonly<Record<BbrState, number>> = {
  startup: 2.77, // 4 ln 2: the rate doubles each round
  drain: 0.5,
  down: 0.9,
  cruise: 1,
  refill: 1,
  up: 1.25,
  probe_rtt: 1,
}
export const WINDOW_GAIN: Readonly<Record<BbrState, number>> = {
  startup: 2,
  drain: 2,
  down: 2,
  cruise: 2,
  refill: 2,
  up: 2.25,
  probe_rtt: 0.5,
}
/** Paces a little below the bandwidth, so that queues drain. */
export const PACING_MARGIN = 0.99
