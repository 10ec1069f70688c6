// test/fuzz/work.ts — what do the fuzzing thread and the one that watches it tell each other?

export interface Work {
  readonly names: readonly string[]
  readonly seed: number
  readonly minutes: number
  readonly keeps: boolean
  /** The input under way: u32 length, u32 index of the target, u32 count of inputs, bytes. */
  readonly shared: SharedArrayBuffer
}

export interface Row {
  readonly name: string
  readonly inputs: number
  readonly perSecond: number
  readonly outcomes: number
  readonly kept: number
  readonly slowestMs: number
  readonly findings: number
}

export type Message =
  | { readonly type: 'finding'; readonly target: string; readonly words: string; input: Uint8Array }
  | { readonly type: 'done'; readonly rows: readonly Row[] }

export const SHARED_HEAD_BYTES = 12
