// bench/emulated-link.ts — how do two hosts on one machine get a bad link between them? (Linux, root)
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { adopt, atExit } from './children.ts'
import { lackOfNamespaces } from './namespaces.ts'

const SOURCE = fileURLToPath(new URL('./linkemu/linkemu.c', import.meta.url))

/** Null where links can be emulated, else what is missing. */
export function lackOfEmulator(): string | null {
  const lack = lackOfNamespaces()
  if (lack) return lack
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
    return null
  } catch {
    return "a C compiler ('cc') is missing"
  }
}

let program: string | null = null

/** Built once per process, in a folder that goes with it. */
function emulator(): string {
  if (program) return program
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-linkemu-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  program = join(folder, 'linkemu')
  execFileSync('cc', ['-O2', '-w', '-o', program, SOURCE])
  return program
}

/** What a host has sent. */
export interface Sent {
  readonly packets: number
  /** With their IP headers. */
  readonly bytes: number
  readonly lost: number
  readonly overflowed: number
}

let opened = 0

/** Hosts, each in a namespace, with the address 10.77.0.1 for the first, and so on. All that they
 * send each other passes through one program that delays, loses and damages it. */
export class EmulatedLink {
  readonly #emulator: ChildProcess
  readonly #hosts: readonly string[]
  readonly #lines: AsyncIterator<string>
  readonly #forget: () => void

  /** `settings`: linkemu's, for what every host sends, such as `rate=100,delay=25`. */
  static async open(
    settings: string,
    { hosts = 2, seed = 1 }: { hosts?: number; seed?: number } = {},
  ): Promise<EmulatedLink> {
    opened += 1
    const prefix = `hf${process.pid}-${opened}`
    const names = Array.from({ length: hosts }, (_, index) => `${prefix}-${index + 1}`)
    const words = ['--seed', String(seed), ...names.map((name) => `${name}:${settings}`)]
    const child = spawn(emulator(), words, { stdio: ['pipe', 'ignore', 'pipe'] })
    const link = new EmulatedLink(adopt(child), names)
    await link.#until('ready')
    return link
  }

  private constructor(child: ChildProcess, hosts: readonly string[]) {
    this.#emulator = child
    this.#hosts = hosts
    this.#lines = createInterface({ input: child.stderr! })[Symbol.asyncIterator]()
    this.#forget = atExit(() => this.#remove())
  }

  /** Counted from 1. */
  namespace(host: number): string {
    return this.#hosts[host - 1]!
  }

  address(host: number): string {
    return `10.77.0.${host}`
  }

  async sent(): Promise<Sent[]> {
    this.#emulator.stdin?.write('stats\n')
    const all: Sent[] = []
    for (const host of this.#hosts) {
      const line = await this.#until(host)
      const of = (name: string): number => Number(new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1])
      const [packets, bytes] = [of('sent'), of('bytes')]
      all.push({ packets, bytes, lost: of('lost'), overflowed: of('overflowed') })
    }
    return all
  }

  /** Its end of input ends the emulator, which takes its hosts along. */
  async close(): Promise<void> {
    const gone = once(this.#emulator, 'exit')
    this.#emulator.stdin?.end()
    await gone
    this.#remove()
    this.#forget()
  }

  async #until(part: string): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error('the link emulator has ended')
      if (value.includes(part)) return value
    }
  }

  /** Where the emulator was killed they are still there. */
  #remove(): void {
    for (const host of this.#hosts) {
      try {
        execFileSync('ip', ['netns', 'delete', host], { stdio: 'ignore' })
      } catch {
        // Gone already.
      }
    }
  }
}
