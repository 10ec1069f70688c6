// bench/flood-cast.ts — how do a benchmark and the parts that it started talk to each other?
import type { ChildProcess } from 'node:child_process'

export interface Words {
  readonly [name: string]: number
}

export const pause = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))

export function ask(child: ChildProcess, order: object = {}): Promise<Words> {
  const answer = heard(child)
  child.send(order)
  return answer
}

/** Rejects when the part ends instead. */
export function heard(child: ChildProcess): Promise<Words> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a part exited with ${code}`))
    child.once('exit', onExit)
    child.once('message', (words: Words) => {
      child.off('exit', onExit)
      resolve(words)
    })
  })
}

/** In columns, the first to the left, the others to the right. */
export function tableOf(head: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const table = [head, ...cells]
  const widths = head.map((_, column) =>
    Math.max(...table.map((line) => line[column]?.length ?? 0)),
  )
  return table.map((line) =>
    line
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  '),
  )
}
