// test/protocol/protection/native-gcm.test.ts — do OpenSSL's own calls and node:crypto understand each other?
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openGcm } from '../../../protocol/native/libcrypto.ts'
import { newSlab } from '../../../protocol/native/slab.ts'
import { aes256Gcm, nodeAes256Gcm } from '../../../protocol/protection/aes-256-gcm.ts'
import { PacketProtection } from '../../../protocol/protection/packet-protection.ts'
import { HEADER_BYTES, TAG_BYTES, writeHeader } from '../../../protocol/wire/header.ts'
import { chosenSeed, Random } from '../../sim/random.ts'
import { testUnless } from '../../support/skip.ts'

const seed = chosenSeed()
const random = new Random(seed, 'native gcm')
const test = suite(`protection by OpenSSL's calls, replay with SEED=${seed}`)
const withGcm = testUnless(test, openGcm() ? null : 'OpenSSL is out of reach, or has no AES')

const OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
const GUARD = 0xa5

/** A packet of random frames at `at`, guard bytes around it. */
function writePacket(into: Buffer, at: number, frameBytes: number, packetNumber: number): number {
  const end = at + OVERHEAD_BYTES + frameBytes
  into.fill(GUARD)
  const packet = into.subarray(at, end)
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const cid = { cidLow: random.below(2 ** 32), cidHigh: random.below(2 ** 32) }
  const lengthBytes = packet.length
  writeHeader(view, { version: 1, type: 3, keyPhase: 0, lengthBytes, ...cid, packetNumber })
  packet.set(random.bytes(frameBytes), HEADER_BYTES)
  return end
}

const isGuarded = (bytes: Buffer, at: number, end: number): boolean =>
  bytes.subarray(0, at).every((byte) => byte === GUARD) &&
  bytes.subarray(end).every((byte) => byte === GUARD)

function keys() {
  const [key, salt] = [Buffer.from(random.bytes(32)), Buffer.from(random.bytes(4))]
  return { native: aes256Gcm.makeKey(key, salt), node: nodeAes256Gcm.makeKey(key, salt) }
}

withGcm('each opens what the other sealed, at any place, with numbers left out', () => {
  const { native, node } = keys()
  let packetNumber = random.below(2 ** 20)
  for (const frameBytes of [0, 1, 15, 16, 17, 1_400, 1_432, 8_144, 65_507 - OVERHEAD_BYTES]) {
    for (const memory of [newSlab(70_000), Buffer.alloc(70_000)]) {
      for (const skip of [1, 1, 2, 1_000, 2 ** 33]) {
        packetNumber += skip
        const at = random.below(4_000)
        const end = writePacket(memory, at, frameBytes, packetNumber)
        const clear = Buffer.from(memory)
        const other = Buffer.from(memory)
        native.seal(memory, at, end - TAG_BYTES)
        node.seal(other, at, end - TAG_BYTES)
        assert.ok(memory.equals(other), `${frameBytes} bytes, number ${packetNumber}`)
        assert.ok(node.open(memory, at, end))
        assert.ok(native.open(other, at, end))
        assert.ok(isGuarded(memory, at, end) && isGuarded(other, at, end))
        for (const opened of [memory, other]) {
          assert.ok(opened.subarray(0, end - TAG_BYTES).equals(clear.subarray(0, end - TAG_BYTES)))
        }
      }
    }
  }
})

withGcm('packets open in any order, and again after a forged one', () => {
  const { native } = keys()
  const sealed = Array.from({ length: 50 }, (_, i) => {
    const packet = newSlab(100)
    native.seal(packet, 0, writePacket(packet, 0, 60, 1_000 + i) - TAG_BYTES)
    return packet
  })
  for (let i = 0; i < 200; i += 1) {
    const packet = Buffer.from(sealed[random.below(50)]!)
    const isForged = random.below(3) === 0
    const flipped = HEADER_BYTES - 8 + random.below(100 - HEADER_BYTES + 8)
    if (isForged) packet[flipped] = packet[flipped]! ^ (1 << random.below(8))
    assert.is(native.open(packet, 0, 100), !isForged, `byte ${flipped}`)
  }
})

withGcm('no number seals twice, whatever is asked', () => {
  const { native } = keys()
  const packet = newSlab(100)
  for (const [number, isFresh] of [
    [7, true],
    [7, false],
    [8, true],
    [3, false],
    [20, true],
    [19, false],
    [2 ** 40, true],
    [2 ** 40 - 1, false],
    [2 ** 40 + 1, true],
  ] as const) {
    const end = writePacket(packet, 0, 60, number) - TAG_BYTES
    if (isFresh) native.seal(packet, 0, end)
    else assert.throws(() => native.seal(packet, 0, end), `number ${number} may have sealed`)
  }
})

withGcm('ranges that are none are refused before OpenSSL hears of them', () => {
  const { native } = keys()
  const packet = newSlab(200)
  writePacket(packet, 0, 60, 1)
  for (const [at, end] of [
    ...[
      [0, 201],
      [-20, 100],
      [100, 139],
      [0, 39],
      [170, 200],
    ],
    ...[
      [0, Number.NaN],
      [Number.NaN, 100],
      [0, 2 ** 32],
    ],
  ] as [number, number][]) {
    assert.throws(() => native.seal(packet, at, end - TAG_BYTES), RangeError, `${at} to ${end}`)
    assert.throws(() => native.open(packet, at, end), RangeError, `${at} to ${end}`)
  }
  assert.throws(() => aes256Gcm.makeKey(Buffer.alloc(31), Buffer.alloc(4)), RangeError)
  assert.throws(() => aes256Gcm.makeKey(Buffer.alloc(32), Buffer.alloc(3)), RangeError)
})

withGcm('a key that was disposed of seals and opens nothing', () => {
  const { native } = keys()
  const packet = newSlab(100)
  const end = writePacket(packet, 0, 60, 1)
  native.seal(packet, 0, end - TAG_BYTES)
  const copy = Buffer.from(packet)
  native.dispose?.()
  native.dispose?.()
  assert.not(native.open(copy, 0, end))
  writePacket(packet, 0, 60, 2)
  assert.throws(() => native.seal(packet, 0, end - TAG_BYTES), 'the key is gone')
})

withGcm(
  'keys that change every few packets, OpenSSL on one side and node:crypto on the other',
  () => {
    const [up, down] = [Buffer.from(random.bytes(32)), Buffer.from(random.bytes(32))]
    const common = { nowMs: 0, packetsPerKeyMax: Number.POSITIVE_INFINITY }
    const left = new PacketProtection({
      ...{ ...common, suite: aes256Gcm, sendSecret: up, receiveSecret: down },
    })
    const right = new PacketProtection({
      ...{ ...common, suite: nodeAes256Gcm, sendSecret: down, receiveSecret: up },
    })
    const numbers = new Map([
      [left, 100],
      [right, 5_000],
    ])
    let late: Buffer | null = null
    for (let round = 0; round < 200; round += 1) {
      for (const [from, to] of [
        [left, right],
        [right, left],
      ] as const) {
        const number = numbers.get(from)!
        numbers.set(from, number + 1)
        if (from === left ? round % 3 === 0 && from.mayUpdate : from.mustFollow)
          from.update(round, number)
        const packet = newSlab(100)
        const end = writePacket(packet, 0, 60, number)
        packet[1] = packet[1]! | from.phaseBit
        from.seal(packet, 0, end - TAG_BYTES)
        if (from === left && round % 7 === 0) {
          late = Buffer.from(packet) // overtaken by the next one
          continue
        }
        for (const each of from === left && late ? [packet, late] : [packet]) {
          const header = { keyPhase: each[1]! & 1, packetNumber: each.readUInt32BE(20) }
          assert.is(to.open(round, each, 0, end, header, 100), 'ok', `round ${round}`)
        }
        if (from === left) late = null
        from.handleAcked(number)
      }
    }
    assert.ok(left.sendPhase > 40, `phase ${left.sendPhase}`)
  },
)

withGcm('keys that nobody disposed of are freed with their owners', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const packet = newSlab(100)
  const grow = async (): Promise<number> => {
    for (let i = 0; i < 30_000; i += 1) {
      const { native } = keys()
      native.seal(packet, 0, writePacket(packet, 0, 60, 1) - TAG_BYTES)
      if (i % 1_000 === 0) {
        collect()
        await turn()
      }
    }
    return process.memoryUsage.rss()
  }
  const before = await grow()
  const grownBytes = (await grow()) - before
  assert.ok(grownBytes < 15_000_000, `${grownBytes} bytes`) // 30 000 contexts have 40 MB and more
})

test.run()
