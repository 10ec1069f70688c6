// test/support/random-tree.ts — where do tests get folders whose every byte follows from a seed?
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** mulberry32: 32 bits of state, enough for test data, the same on every machine. */
export function prng(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function randomBytes(random: () => number, sizeBytes: number): Buffer {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4))
  for (let i = 0; i < words.length; i += 1) words[i] = random() * 2 ** 32
  return Buffer.from(words.buffer, 0, sizeBytes)
}

/** `count` files of incompressible bytes, sizes around `meanBytes`, in a few folders. */
export async function writeRandomTree(
  folder: string,
  { seed, count, meanBytes }: { seed: number; count: number; meanBytes: number },
): Promise<void> {
  const random = prng(seed)
  for (let index = 0; index < count; index += 1) {
    const home = join(folder, `folder-${index % 5}`)
    await mkdir(home, { recursive: true })
    const sizeBytes = Math.floor(meanBytes * (0.2 + 1.6 * random()))
    await writeFile(join(home, `file-${index}`), randomBytes(random, sizeBytes))
  }
}
