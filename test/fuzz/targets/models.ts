// test/fuzz/targets/models.ts — do the clever structures hold what the naive ones hold?
import * as assert from 'node:assert/strict'
import { RangeSet } from '../../../protocol/connection/ranges.ts'
import { ReceiveStream } from '../../../protocol/connection/receive-stream.ts'
import { Choices, type Target } from '../target.ts'

const VALUES = 256
const STREAM_BYTES = 4_096
const OPERATIONS_MAX = 400

/** What any stream of the model says at that offset. */
const byteAt = (offset: number): number => (offset * 7 + (offset >> 8)) & 255

const ranges: Target = {
  name: 'ranges',
  sizeBytesMax: 1_200,
  seeds: () => [Buffer.from([0, 1, 9, 0, 20, 5, 1, 3, 4, 2, 0, 255]), Buffer.alloc(60, 9)],
  run(input) {
    const set = new RangeSet()
    const other = new RangeSet()
    const model = new Set<number>()
    const otherModel = new Set<number>()
    const choices = new Choices(input)
    while (!choices.isOver) {
      const kind = choices.u8() % 5
      const start = choices.u8()
      const end = Math.min(VALUES, start + choices.u8())
      if (kind === 0) set.add(start, end)
      else if (kind === 1) set.remove(start, end)
      else if (kind === 2) set.removeAll(other, start, end)
      else if (kind === 3) other.add(start, end)
      else set.removeFirst()
      if (kind === 4) for (let n = firstOf(model); model.delete(n); n += 1);
      for (let n = start; n < end && kind < 4; n += 1) {
        if (kind === 0) model.add(n)
        else if (kind === 1 || (kind === 2 && otherModel.has(n))) model.delete(n)
        else if (kind === 3) otherModel.add(n)
      }
    }
    for (let n = 0; n < VALUES; n += 1) assert.equal(set.has(n), model.has(n), `${n}`)
    for (let i = 1; i < set.count; i += 1) assert.ok(set.starts[i]! > set.ends[i - 1]!, 'disjoint')
    return `${Math.ceil(Math.log2(set.count + 1))} ${set.isEmpty}`
  },
}

const firstOf = (model: ReadonlySet<number>): number => (model.size === 0 ? -1 : Math.min(...model))

/** Pieces in any order, reads, a FIN, a reset, against an array of bytes. */
const reassembler: Target = {
  name: 'reassembler',
  sizeBytesMax: 2_000,
  seeds: () => [
    Buffer.from([0, 0, 10, 0, 20, 0, 0, 0, 0, 10, 3, 0, 255, 1, 0, 30, 0, 9]),
    Buffer.from([0, 0, 1, 0, 1, 0, 0, 3, 0, 1, 0, 0, 5, 0, 1, 0, 0, 0, 0, 9, 3, 4, 0]),
  ],
  run(input) {
    const stream = new ReceiveStream(0, STREAM_BYTES)
    const model = new NaiveStream()
    const choices = new Choices(input)
    let refused = ''
    for (let n = 0; n < OPERATIONS_MAX && !choices.isOver && !refused; n += 1) {
      const kind = choices.u8() % 8
      if (kind === 7) {
        const bytesMax = choices.u16()
        const bytes = [...(stream.read(bytesMax) ?? [])]
        assert.equal(bytes.length > 0, bytesMax > 0 && model.readableBytes > 0)
        assert.ok(bytes.length <= bytesMax)
        assert.deepEqual(bytes, model.read(bytes.length))
      } else if (kind === 6 && choices.u8() > 250) {
        stream.discard()
        model.discard()
      } else {
        const start = choices.below(STREAM_BYTES)
        const end = Math.min(STREAM_BYTES, start + (choices.u16() % 600))
        const isFin = kind === 5 && choices.u8() % 8 === 0
        const said = stream.insert(start, piece(start, end), 0, end - start, isFin)
        assert.equal(said === 'final-size', model.insert(start, end, isFin) === 'final-size')
        if (said !== 'ok') refused = said
      }
      if (!refused) {
        assert.equal(stream.readableBytes, model.readableBytes)
        assert.equal(stream.isReadFinished, model.isReadFinished)
      }
    }
    return `${refused} ${stream.isReadFinished} ${Math.ceil(Math.log2(stream.pieceCount + 1))}`
  },
}

function piece(start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - start)
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = byteAt(start + i)
  return bytes
}

class NaiveStream {
  readonly #seen = new Set<number>()
  #consumed = 0
  #final: number | null = null

  insert(start: number, end: number, isFin: boolean): 'ok' | 'final-size' {
    if (this.#final !== null && (end > this.#final || (isFin && end !== this.#final))) {
      return 'final-size'
    }
    if (isFin && this.#highest > end) return 'final-size'
    for (let n = start; n < end; n += 1) this.#seen.add(n)
    this.#highest = Math.max(this.#highest, end)
    if (isFin) this.#final = end
    return 'ok'
  }

  #highest = 0

  get readableBytes(): number {
    let end = this.#consumed
    while (this.#seen.has(end)) end += 1
    return end - this.#consumed
  }

  get isReadFinished(): boolean {
    return this.#consumed === this.#final
  }

  read(bytesMax: number): number[] {
    const count = Math.min(bytesMax, this.readableBytes)
    const start = this.#consumed
    this.#consumed += count
    return Array.from({ length: count }, (_, i) => byteAt(start + i))
  }

  discard(): void {
    for (let n = this.#consumed; n < this.#highest; n += 1) this.#seen.add(n)
    this.#consumed = this.#highest
  }
}

export const modelTargets: readonly Target[] = [ranges, reassembler]
