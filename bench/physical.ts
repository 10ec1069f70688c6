// bench/physical.ts — what could no transport exceed on this machine?
import { createCipheriv, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

const BLOCK_BYTES = 64 * 1024
const MEASURED_MS = 200

/** Megabytes (10^6) per second that one core gets done, each alone. Every byte that is sent
 * encrypted is copied into the kernel and out of it, sealed and opened, and compared. */
export type PhysicalLimits = Readonly<Record<string, number>>

export function physicalLimits(): PhysicalLimits {
  const from = randomBytes(BLOCK_BYTES)
  const to = Buffer.alloc(BLOCK_BYTES)
  const large = randomBytes(1024 * BLOCK_BYTES)
  const [key, nonce] = [randomBytes(32), randomBytes(12)]
  return {
    'memory copy, 64 KiB that stay in the cache': rate(BLOCK_BYTES, () => from.copy(to)),
    'memory copy, 64 MiB': rate(large.length, () => Buffer.from(large)),
    'compare, 64 KiB': rate(BLOCK_BYTES, () => from.compare(from)),
    'CRC-32 (zlib), 64 KiB': rate(BLOCK_BYTES, () => crc32(from)),
    'AES-256-GCM (node:crypto), 1 MiB at a time': rate(16 * BLOCK_BYTES, () => {
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      cipher.update(large.subarray(0, 16 * BLOCK_BYTES))
      cipher.final()
    }),
  }
}

function rate(bytes: number, work: () => void): number {
  for (let time = 0; time < 10; time += 1) work()
  const startMs = performance.now()
  let done = 0
  let nowMs = startMs
  while (nowMs - startMs < MEASURED_MS) {
    work()
    done += bytes
    nowMs = performance.now()
  }
  return done / 1e3 / (nowMs - startMs)
}
