// src/manager/catalog/bytes.ts — how do hex ids become the bytes that the catalog stores?

export const toBytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex')

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')

const EDGE_BYTES = 32

/** A chunk's edges as one run of 32-byte ids. */
export const packEdges = (edges: readonly string[]): Uint8Array =>
  Buffer.from(edges.join(''), 'hex')

export function unpackEdges(bytes: Uint8Array): string[] {
  const hex = toHex(bytes)
  const edges: string[] = []
  for (let at = 0; at < hex.length; at += 2 * EDGE_BYTES)
    edges.push(hex.slice(at, at + 2 * EDGE_BYTES))
  return edges
}

/** Cuts a list so that one statement has a bounded number of parameters. */
export function* batches<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
