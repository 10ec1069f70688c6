// test/support/capture.ts — how does a test keep every packet of its own cluster? (dumpcap, on lo)
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import type { Cluster } from './cluster.ts'

export function portsOf(cluster: Cluster): number[] {
  const { manager, servers } = JSON.parse(readFileSync(cluster.config, 'utf8'))
  return [manager, ...servers].map(({ port }: { port: number }) => port)
}

/** Captures what goes to and from these ports until it gets SIGINT; resolves once it does. */
export async function capturing(path: string, ports: readonly number[]): Promise<ChildProcess> {
  const filter = ports.map((port) => `udp port ${port}`).join(' or ')
  const child = spawn('dumpcap', ['-i', 'lo', '-B', '16', '-f', filter, '-w', path])
  let said = ''
  for await (const piece of child.stderr.iterator({ destroyOnReturn: false })) {
    said += piece
    if (said.includes('File:')) break
  }
  assert.match(said, 'File:')
  child.stderr.resume()
  return child
}
