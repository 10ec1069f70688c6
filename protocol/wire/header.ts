// protocol/wire/header.ts — what are the first bytes of every packet?
//
//   0 u8 magic 0x0B   1 u8 version(3) type(4) keyPhase(1)   2 u16 L, header..tag   4 8 B dcid
//   12 u32 CRC-32     16 u64 packet number, big-endian      [24 8 B scid, long types only]

export const MAGIC = 0x0b
export const VERSION = 1
export const HEADER_BYTES = 24
export const LONG_HEADER_BYTES = 32
export const TAG_BYTES = 16
/** The least size of a datagram with a HELLO, and what every path must carry (RFC 9000 §14). */
export const HELLO_BYTES_MIN = 1200
export const DATAGRAM_BYTES_MAX = 65_507
/** Connections close before a packet number gets here. */
export const PACKET_NUMBER_MAX = 2 ** 48

export const PACKET = {
  hello: 0,
  retry: 1,
  accept: 2,
  data: 3,
  versions: 4,
  reset: 5,
  refused: 6,
} as const

export interface PacketHeader {
  version: number
  type: number
  keyPhase: number
  lengthBytes: number
  /** The two halves of the destination CID, little-endian u32. */
  cidLow: number
  cidHigh: number
  crc: number
  packetNumber: number
}

/** To read headers into. */
export const newHeader = (): PacketHeader => ({
  version: VERSION,
  type: 0,
  keyPhase: 0,
  lengthBytes: HEADER_BYTES,
  cidLow: 0,
  cidHigh: 0,
  crc: 0,
  packetNumber: 0,
})

/** Reads a header at `offset` into `out`; false when the bytes can't be a packet of ours. */
export function readHeader(
  bytes: DataView,
  offset: number,
  end: number,
  out: PacketHeader,
): boolean {
  if (end - offset < HEADER_BYTES || bytes.getUint8(offset) !== MAGIC) return false
  const second = bytes.getUint8(offset + 1)
  out.version = second >> 5
  out.type = (second >> 1) & 15
  out.keyPhase = second & 1
  out.lengthBytes = bytes.getUint16(offset + 2, true)
  out.cidLow = bytes.getUint32(offset + 4, true)
  out.cidHigh = bytes.getUint32(offset + 8, true)
  out.crc = bytes.getUint32(offset + 12, true)
  const high = bytes.getUint32(offset + 16, false)
  out.packetNumber = high * 2 ** 32 + bytes.getUint32(offset + 20, false)
  if (out.packetNumber >= PACKET_NUMBER_MAX) return false
  return out.lengthBytes >= HEADER_BYTES + TAG_BYTES && offset + out.lengthBytes <= end
}

/** Writes all header fields but the checksum, at `at`. */
export function writeHeader(bytes: DataView, header: Omit<PacketHeader, 'crc'>, at = 0): void {
  bytes.setUint8(at, MAGIC)
  bytes.setUint8(at + 1, (header.version << 5) | (header.type << 1) | header.keyPhase)
  bytes.setUint16(at + 2, header.lengthBytes, true)
  bytes.setUint32(at + 4, header.cidLow, true)
  bytes.setUint32(at + 8, header.cidHigh, true)
  bytes.setUint32(at + 16, Math.floor(header.packetNumber / 2 ** 32), false)
  bytes.setUint32(at + 20, header.packetNumber >>> 0, false)
}
