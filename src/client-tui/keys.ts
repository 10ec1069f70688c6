// src/client-tui/keys.ts — what does each key do, and why not just now? Footer and help read this.
import { isBusy, type Model } from './model.ts'

export type Action =
  | 'pick-1'
  | 'pick-2'
  | 'pick-3'
  | 'enter'
  | 'type-path'
  | 'restore'
  | 'switch'
  | 'up'
  | 'down'
  | 'help'
  | 'quit'

export interface Key {
  /** As blessed names it. */
  readonly key: string
  readonly action: Action
  /** For the footer; null: in the help only. */
  readonly short: string | ((model: Model) => string) | null
  readonly long: string
  /** Why not now; null when it works. */
  readonly blocked: (model: Model) => string | null
}

const always = (): null => null
const whenIdle = (model: Model): string | null =>
  isBusy(model) ? 'Wait until this is done (q interrupts it and leaves).' : null

export const KEYS: readonly Key[] = [
  { key: '1', action: 'pick-1', short: null, long: 'pick the first file', blocked: always },
  { key: '2', action: 'pick-2', short: null, long: 'pick the second file', blocked: always },
  { key: '3', action: 'pick-3', short: '1-3 pick', long: 'pick the third file', blocked: always },
  {
    key: 'enter',
    action: 'enter',
    short: (model) => (model.focus === 'saved' ? 'Enter restore' : 'Enter store'),
    long: 'store the picked file, or restore the marked snapshot',
    blocked: whenIdle,
  },
  {
    key: 't',
    action: 'type-path',
    short: 't type path',
    long: 'type the path of another file or folder, then Enter',
    blocked: whenIdle,
  },
  {
    key: 'r',
    action: 'restore',
    short: 'r restore',
    long: 'restore the marked snapshot into a folder',
    blocked: (model) =>
      whenIdle(model) ?? (model.saved.length > 0 ? null : 'Nothing is stored yet.'),
  },
  {
    key: 'tab',
    action: 'switch',
    short: 'Tab switch',
    long: 'go from the files to the snapshots and back',
    blocked: always,
  },
  { key: 'up', action: 'up', short: null, long: 'mark the line above', blocked: always },
  { key: 'down', action: 'down', short: null, long: 'mark the line below', blocked: always },
  { key: '?', action: 'help', short: '? help', long: 'show or hide this help', blocked: always },
  { key: 'q', action: 'quit', short: 'q quit', long: 'leave (Ctrl-C too)', blocked: always },
]

export const keyFor = (name: string): Key | undefined => KEYS.find((key) => key.key === name)

/** What does not fit is left out; help and quit, the last two, stay. */
export function footer(model: Model, columns: number): string {
  if (model.typing) return 'Enter confirm   Esc give up'
  const words = KEYS.filter((key) => key.short !== null && key.blocked(model) === null).map(
    ({ short }) => (typeof short === 'function' ? short(model) : (short ?? '')),
  )
  while (words.length > 2 && words.join('  ').length > columns) words.splice(-3, 1)
  return words.join('  ')
}

export const helpLines = (): string[] =>
  KEYS.map(
    ({ key, long }) =>
      `${(key === 'enter' ? 'Enter' : key === 'tab' ? 'Tab' : key).padEnd(6)} ${long}`,
  )
