// src/cli/demo-files.ts — where does the demonstration file come from that is larger than one blob?
import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../../config.ts'

const MADE_FOLDER = resolve(import.meta.dirname, '../../demo/made')
const ROWS = 480_000
const STATIONS = ['north pier', 'boiler room', 'roof', 'cellar', 'greenhouse'] as const

/** Makes the large files of the project's own config that are not there yet: some 14 MB of
 * measurements each, the same on every machine. Files of other configs are left alone. */
export async function makeDemoFiles(config: Config): Promise<void> {
  for (const [index, client] of config.clients.entries()) {
    const path = client.FILE_3
    if (dirname(path) !== MADE_FOLDER || existsSync(path)) continue
    await mkdir(MADE_FOLDER, { recursive: true })
    // A name of its own first: two programs may start at once.
    const temporary = join(MADE_FOLDER, `.${process.pid}-${index}.tmp`)
    await writeFile(temporary, measurements(index + 1))
    await rename(temporary, path)
  }
}

/** A made-up year of readings as CSV; the same seed gives the same bytes. */
function measurements(seed: number): string {
  let state = seed
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const lines = ['minute,station,celsius,percent']
  for (let row = 0; row < ROWS; row += 1) {
    const season = 10 * Math.sin((2 * Math.PI * row) / ROWS)
    const celsius = (12 + season + 4 * random()).toFixed(2)
    const percent = (40 + 50 * random()).toFixed(1)
    lines.push(`${row},${STATIONS[row % STATIONS.length]},${celsius},${percent}`)
  }
  return `${lines.join('\n')}\n`
}
