// bench/table.ts — how do rows of figures look to a person?

/** The first row is the head, the first column is left-aligned, the others right. With `note` the
 * last column is a text. */
export function table(rows: readonly (readonly string[])[], { note = false } = {}): string {
  const columns = Math.max(...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => [...(row[column] ?? '')].length)),
  )
  const pad = (text: string, column: number): string => {
    const space = ' '.repeat((widths[column] ?? 0) - [...text].length)
    return column === 0 || (note && column === columns - 1) ? text + space : space + text
  }
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}

/** A ratio beside its goal: "0.81 (≥ 0.72)", with a mark when it is missed. */
export function beside(value: number, goal: Goal | undefined): string {
  const text = Number.isFinite(value) ? value.toFixed(value < 0.1 ? 3 : 2) : '–'
  if (!goal) return text
  const sign = goal.atLeast === undefined ? '≤' : '≥'
  return `${text} (${sign} ${goal.atLeast ?? goal.atMost})${isMet(value, goal) ? '' : ' ✗'}`
}

/** One of the two. */
export interface Goal {
  readonly atLeast?: number
  readonly atMost?: number
}

export const isMet = (value: number, { atLeast, atMost }: Goal): boolean =>
  atLeast !== undefined ? value >= atLeast : value <= (atMost ?? Number.POSITIVE_INFINITY)
