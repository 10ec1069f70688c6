// test/fuzz/corpus.ts — which inputs were worth keeping?
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, 'corpus')
/** The corpus is part of the repository: it stays small. */
const KEPT_BYTES_MAX = 4_096
const KEPT_PER_TARGET_MAX = 64

/** Every file of a target, in the order of their names. */
export function readCorpus(target: string): Buffer[] {
  const folder = join(FOLDER, target)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).sort()
  return names.map((name) => readFileSync(join(folder, name)))
}

/** Names of targets that have a corpus. */
export const corpusNames = (): string[] => readdirSync(FOLDER).sort()

/** False when it is too long to keep, or there are enough. */
export function keep(target: string, input: Uint8Array): boolean {
  const folder = join(FOLDER, target)
  mkdirSync(folder, { recursive: true })
  const isRoom = readdirSync(folder).length < KEPT_PER_TARGET_MAX
  if (!isRoom || input.length > KEPT_BYTES_MAX) return false
  writeFileSync(join(folder, nameOf(input)), input)
  return true
}

export const nameOf = (input: Uint8Array): string =>
  createHash('sha256').update(input).digest('hex').slice(0, 16)
