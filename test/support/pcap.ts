// test/support/pcap.ts — how do datagrams become a capture file, and what does tshark see in it?
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const LINKTYPE_RAW = 101
const UDP = 17
const DISSECTOR = resolve(import.meta.dirname, '../../docs/wireshark/holdfast.lua')

export interface Captured {
  readonly bytes: Uint8Array
  /** Of two hosts, the first one sends. */
  readonly isFirst: boolean
}

/** Writes a pcap file (version 2.4) of UDP datagrams over IPv4, one millisecond apart. */
export function writePcap(path: string, datagrams: readonly Captured[]): void {
  const head = Buffer.alloc(24)
  head.writeUInt32LE(0xa1b2c3d4, 0)
  head.writeUInt16LE(2, 4)
  head.writeUInt16LE(4, 6)
  head.writeUInt32LE(65_535, 16)
  head.writeUInt32LE(LINKTYPE_RAW, 20)
  const records = datagrams.flatMap(({ bytes, isFirst }, index) => {
    const ip = ipHeader(bytes.length, isFirst)
    const length = ip.length + bytes.length
    const record = Buffer.alloc(16)
    record.writeUInt32LE(1_700_000_000, 0)
    record.writeUInt32LE(index * 1_000, 4)
    record.writeUInt32LE(length, 8)
    record.writeUInt32LE(length, 12)
    return [record, ip, bytes]
  })
  writeFileSync(path, Buffer.concat([head, ...records]))
}

/** IPv4 and UDP headers, 28 bytes; checksums zero, which tshark does not check by default. */
function ipHeader(payloadBytes: number, isFirst: boolean): Buffer {
  const header = Buffer.alloc(28)
  header[0] = 0x45
  header.writeUInt16BE(28 + payloadBytes, 2)
  header[8] = 64
  header[9] = UDP
  const [from, to] = isFirst ? [1, 2] : [2, 1]
  header.set([10, 0, 0, from], 12)
  header.set([10, 0, 0, to], 16)
  header.writeUInt16BE(47_300 + from, 20)
  header.writeUInt16BE(47_300 + to, 22)
  header.writeUInt16BE(8 + payloadBytes, 24)
  return header
}

/** Null when tshark runs here with Lua; else why it does not. */
export function whyNoTshark(): string | null {
  const { error, stdout } = spawnSync('tshark', ['--version'], { encoding: 'utf8' })
  if (error) return 'tshark is not installed'
  return stdout.includes('Lua') ? null : 'this tshark has no Lua'
}

/** Null when this user may capture on the loopback; else why not. */
export function whyNoCapture(): string | null {
  const { error, status } = spawnSync('dumpcap', ['-i', 'lo', '-L'], { encoding: 'utf8' })
  if (error) return 'dumpcap is not installed'
  return status === 0 ? null : 'this user may not capture on lo'
}

/** One row per datagram, one list of values per field, by tshark with the project's dissector. */
export function dissect(
  path: string,
  fields: readonly string[],
  keyLog: string | null = null,
): string[][][] {
  const preference = keyLog === null ? [] : ['-o', `holdfast.keylog:${keyLog}`]
  const first = ['-o', 'udp.try_heuristic_first:TRUE'] // a free port may be another protocol's
  const words = ['-X', `lua_script:${DISSECTOR}`, ...first, ...preference, '-r', path]
  const wanted = fields.flatMap((name) => ['-e', name])
  const form = ['-E', 'separator=/t', '-E', 'aggregator=;']
  const out = execFileSync('tshark', [...words, '-T', 'fields', ...wanted, ...form], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map((cell) => (cell === '' ? [] : cell.split(';'))))
}
