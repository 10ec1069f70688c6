// bench/namespaces.ts — how does a benchmark get hosts of its own on one machine? (Linux, root)
import { type ChildProcess, execFileSync, fork } from 'node:child_process'

/** Null where hosts can be made, else what is missing. */
export function lackOfNamespaces(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are Linux only'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  try {
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' })
    return null
  } catch {
    return "the program 'ip' is missing: install iproute2"
  }
}

const ip = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Hosts with links between them, reachable by nobody else. Call close(), whatever happens. */
export class Namespaces {
  readonly #prefix = `hf${process.pid}`
  readonly #names = new Set<string>()

  add(host: string): void {
    const name = this.#nameOf(host)
    ip('netns', 'add', name)
    this.#names.add(name)
    this.ip(host, 'link', 'set', 'lo', 'up')
  }

  /** A cable between two hosts; each end gets an address (with its prefix length). */
  link(a: { host: string; address: string }, b: { host: string; address: string }): void {
    const [left, right] = [`${a.host}-${b.host}`, `${b.host}-${a.host}`]
    const peer = ['peer', 'name', right, 'netns', this.#nameOf(b.host)]
    const left_ = ['link', 'add', left, 'netns', this.#nameOf(a.host), 'type', 'veth', ...peer]
    ip(...left_)
    for (const [host, device, address] of [
      [a.host, left, a.address],
      [b.host, right, b.address],
    ] as const) {
      this.ip(host, 'address', 'add', address, 'dev', device)
      this.ip(host, 'link', 'set', device, 'up')
    }
  }

  /** `ip` inside a host. */
  ip(host: string, ...words: string[]): void {
    ip('-n', this.#nameOf(host), ...words)
  }

  /** A program of ours inside a host, with a channel for messages. What a silent one prints is
   * dropped, but for its errors. */
  fork(host: string, script: string, words: readonly string[], isSilent = false): ChildProcess {
    return fork(script, words, {
      ...(isSilent && { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
      execPath: 'ip',
      execArgv: ['netns', 'exec', this.#nameOf(host), process.execPath],
    })
  }

  close(): void {
    for (const name of this.#names) ip('netns', 'delete', name)
    this.#names.clear()
  }

  #nameOf(host: string): string {
    return `${this.#prefix}-${host}`
  }
}
