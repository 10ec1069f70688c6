// src/chunk/compressor.ts — how are chunks made smaller, and is it worth trying?
import { promisify } from 'node:util'
import {
  constants,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib'
import { HoldfastError } from '../errors.ts'

export interface Compressor {
  /** May return its input where trying is not worth it: the caller keeps what is smaller. */
  compress(bytes: Uint8Array): Promise<Uint8Array>
  /** Rejects with CORRUPT for what is no compressed data, and for more than `sizeBytesMax`. */
  decompress(bytes: Uint8Array, sizeBytesMax: number): Promise<Uint8Array>
}

// The default of zstd, and of borg and restic for good reason: higher levels cost much, gain little.
const LEVEL = 3
// A hop to the thread pool and back took 320 µs here, compressing 2 KB at once 40 µs.
const AT_ONCE_BYTES_MAX = 64 * 1024
const PROBE_FROM_BYTES = 128 * 1024
const PROBE_SAMPLES = 8
const PROBE_SAMPLE_BYTES = 2048
// Below this saving in the samples the whole is taken for compressed or encrypted data.
const PROBE_SAVING_RATIO_MIN = 0.02

// A frame may ask for a window of 128 MiB; a chunk of 4 MiB never needs more than 8.
const WINDOW_LOG_MAX = 23

const readParams = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX }

// Node writes what comes out into buffers of 16 KiB, joins them, and keeps a whole one for a result of
// a few bytes. With one buffer of the right size nothing is joined and nothing is wasted; a byte more,
// since a full one is taken for a sign that more comes.
const BUFFER_BYTES_MIN = 64
const bufferFor = (bytes: number): number => Math.max(BUFFER_BYTES_MIN, bytes + 1)

const params = { [constants.ZSTD_c_compressionLevel]: LEVEL }
const compressInPool = promisify<Uint8Array, object, Buffer>(zstdCompress)
const decompressInPool = promisify<Uint8Array, object, Buffer>(zstdDecompress)

/** zstd of Node: small pieces at once, others in the thread pool. */
export const zstd: Compressor = {
  async compress(bytes) {
    if (bytes.length <= AT_ONCE_BYTES_MAX) {
      return zstdCompressSync(bytes, { params, chunkSize: bufferFor(bytes.length) })
    }
    if (bytes.length >= PROBE_FROM_BYTES && !looksCompressible(bytes)) return bytes
    return await compressInPool(bytes, { params })
  },

  async decompress(bytes, sizeBytesMax) {
    // Node refuses a limit of 0.
    const options = {
      maxOutputLength: Math.max(1, sizeBytesMax),
      chunkSize: bufferFor(sizeBytesMax),
      params: readParams,
    }
    try {
      return sizeBytesMax <= AT_ONCE_BYTES_MAX
        ? zstdDecompressSync(bytes, options)
        : await decompressInPool(bytes, options)
    } catch (cause) {
      throw new HoldfastError('CORRUPT', 'compressed data cannot be read', { cause })
    }
  },
}

/** Tries samples from all over: at 2 % of the bytes it tells pictures and archives from the rest.
 * What repeats only over long distances is missed. */
function looksCompressible(bytes: Uint8Array): boolean {
  const samples = new Uint8Array(PROBE_SAMPLES * PROBE_SAMPLE_BYTES)
  const stepBytes = Math.floor((bytes.length - PROBE_SAMPLE_BYTES) / (PROBE_SAMPLES - 1))
  for (let index = 0; index < PROBE_SAMPLES; index += 1) {
    const start = index * stepBytes
    samples.set(bytes.subarray(start, start + PROBE_SAMPLE_BYTES), index * PROBE_SAMPLE_BYTES)
  }
  const compressed = zstdCompressSync(samples, { params })
  return compressed.length < samples.length * (1 - PROBE_SAVING_RATIO_MIN)
}
