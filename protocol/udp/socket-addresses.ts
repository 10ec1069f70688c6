// protocol/udp/socket-addresses.ts — how does the kernel write an address, and which one is this?
//
//   sockaddr_in   0 u16 family · 2 u16be port · 4 address, 4 B · 8 zero, 8 B
//   sockaddr_in6  0 u16 family · 2 u16be port · 4 flow · 8 address, 16 B · 24 u32 scope
import { isIPv6, SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Address } from '../types.ts'

const AF_INET = 2
const AF_INET6 = 10
const NAME_WORDS = 8
/** Senders remembered; two that share a place are told apart, and cost a little more. */
const PLACES = 256

/** Of one socket. Most datagrams go to where the last one went, and come from there. */
export class SocketAddresses {
  readonly #encoded = new WeakMap<Address, Uint8Array>()
  #lastTo: Address | null = null
  #lastEncoded: Uint8Array = new Uint8Array(0)
  readonly #names = new Uint32Array(PLACES * NAME_WORDS)
  readonly #addresses: (Address | undefined)[] = new Array(PLACES).fill(undefined)

  /** The same bytes each time for the same address, not to be changed. */
  encode(to: Address): Uint8Array {
    if (to === this.#lastTo) return this.#lastEncoded
    let encoded = this.#encoded.get(to)
    if (encoded === undefined) {
      encoded = encodeAddress(to)
      this.#encoded.set(to, encoded)
    }
    this.#lastTo = to
    this.#lastEncoded = encoded
    return encoded
  }

  /** The sender whose sockaddr begins at `words[at]`. */
  decode(words: Uint32Array, at: number): Address {
    const first = words[at] as number // family and port
    const isSix = (first & 0xffff) === AF_INET6
    const second = words[isSix ? at + 5 : at + 1] as number
    const place = Math.imul(first ^ second, 0x9e37_79b1) >>> 24
    const known = this.#addresses[place]
    const base = place * NAME_WORDS
    if (known !== undefined && isSame(words, at, this.#names, base, isSix)) return known
    const address = decodeAddress(words, at)
    this.#addresses[place] = address
    for (let i = 0; i < NAME_WORDS; i += 1) this.#names[base + i] = words[at + i] as number
    return address
  }
}

function isSame(a: Uint32Array, at: number, b: Uint32Array, to: number, isSix: boolean): boolean {
  if (a[at] !== b[to]) return false
  if (!isSix) return a[at + 1] === b[to + 1]
  // The flow label, word 1, says nothing of the sender.
  for (let i = 2; i < 7; i += 1) if (a[at + i] !== b[to + i]) return false
  return true
}

export function encodeAddress({ host, port }: Address): Uint8Array {
  const [literal = '', zone] = host.split('%')
  const isSix = isIPv6(literal)
  const bytes = new Uint8Array(isSix ? 28 : 16)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, isSix ? AF_INET6 : AF_INET, true)
  view.setUint16(2, port)
  if (isSix) {
    for (const [i, group] of groupsOf(literal).entries()) view.setUint16(8 + 2 * i, group)
    view.setUint32(24, zone === undefined ? 0 : scopeOf(zone), true)
  } else for (const [i, part] of literal.split('.').entries()) bytes[4 + i] = Number(part)
  return bytes
}

/** The eight 16-bit groups of an IPv6 literal (RFC 4291 §2.2). */
function groupsOf(literal: string): number[] {
  const dotted = /[\d.]+$/.exec(literal)?.[0] ?? ''
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number)
  const hex = dotted.includes('.')
    ? `${literal.slice(0, -dotted.length)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
    : literal
  const [before = '', after] = hex.split('::')
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const [head, tail] = [parse(before), parse(after ?? '')]
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

function decodeAddress(words: Uint32Array, at: number): Address {
  const view = new DataView(words.buffer, words.byteOffset + at * 4, NAME_WORDS * 4)
  const port = view.getUint16(2)
  if (view.getUint16(0, true) !== AF_INET6) {
    return { host: [4, 5, 6, 7].map((i) => view.getUint8(i)).join('.'), port }
  }
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16))
  // The usual short form, as dgram would have it.
  const { address } = new SocketAddress({ address: groups.join(':'), family: 'ipv6' })
  const scope = view.getUint32(24, true)
  return { host: scope === 0 ? address : `${address}%${zoneOf(scope)}`, port }
}

function scopeOf(zone: string): number {
  const scope = networkInterfaces()[zone]?.find(({ family }) => family === 'IPv6')
  return scope?.family === 'IPv6' && scope.scopeid > 0 ? scope.scopeid : Number(zone) || 0
}

function zoneOf(scope: number): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((each) => each.family === 'IPv6' && each.scopeid === scope)) return name
  }
  return String(scope)
}
