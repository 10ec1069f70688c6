// test/protocol/udp/ports.test.ts — does every kind of socket carry the same bytes, and close in peace?
import { createSocket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openSocketCalls } from '../../../protocol/native/libc.ts'
import { newSlab } from '../../../protocol/native/slab.ts'
import type { DatagramPort } from '../../../protocol/types.ts'
import type { PlainPort } from '../../../protocol/udp/plain-port.ts'
import { openUdpPort, type UdpDriver } from '../../../protocol/udp/udp-port.ts'
import { testUnless } from '../../support/skip.ts'

const MIB = 1024 * 1024
const HOST = '127.0.0.1'
const test = suite('udp: sockets of every kind')
const withNative = testUnless(test, openSocketCalls() ? null : 'no native calls on this machine')
const hasSix = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === '::1')
const withSix = testUnless(test, hasSix ? null : 'no IPv6 on the loopback')

const open = (driver?: UdpDriver, host = HOST): Promise<PlainPort & DatagramPort> =>
  openUdpPort({ host, port: 0 }, { driver })

/** Calls `send` until it says that all is sent and the port has it; gives way in between. */
async function pump(send: () => boolean): Promise<void> {
  const endMs = Date.now() + 60_000
  while (!send()) {
    assert.ok(Date.now() < endMs, 'it takes too long')
    await turn()
  }
}

const PAIRS: readonly [UdpDriver, UdpDriver][] = [
  ['segmented', 'segmented'],
  ['batched', 'batched'],
  ['segmented', 'plain'],
  ['plain', 'segmented'],
]
for (const [from, to] of PAIRS) {
  withNative(
    `64 MiB arrive whole: ${from} to ${to}, in datagrams of 1472 and 65 507 bytes`,
    async () => {
      const [sender, receiver] = [await open(from), await open(to)]
      const windowBytes = receiver.receiveBufferBytes / 8
      for (const segmentBytes of [1_472, 65_507]) {
        const segments = Math.max(
          1,
          Math.min(sender.trainSegmentsMax, Math.floor(65_507 / segmentBytes)),
        )
        const train = newSlab(segments * segmentBytes)
        for (let i = 0; i < train.length; i += 1) train[i] = (i * 2_654_435_761) >>> 13
        let received = 0
        let sent = 0
        receiver.onDatagram = (bytes, { host, port }, strideBytes = 0) => {
          assert.is(port, sender.local.port)
          assert.is(host, HOST)
          if (strideBytes > 0) assert.is(strideBytes, segmentBytes)
          // Each datagram begins with its number, in a pattern that is otherwise known.
          const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
          for (let at = 0; at < buffer.length; at += segmentBytes) {
            assert.is(buffer.readUInt32LE(at), received, 'in order, and none is missing')
            const phase = (received % segments) * segmentBytes
            const rest = train.subarray(phase + 4, phase + segmentBytes)
            assert.is(buffer.compare(rest, 0, rest.length, at + 4, at + segmentBytes), 0)
            received += 1
          }
        }
        await pump(() => {
          while ((sent - received) * segmentBytes < windowBytes && sent * segmentBytes < 32 * MIB) {
            for (let i = 0; i < segments; i += 1) train.writeUInt32LE(sent + i, i * segmentBytes)
            const { keepsBytes } = sender
            assert.not(keepsBytes)
            if (!sender.send(train, receiver.local, segmentBytes)) return false
            sent += segments
          }
          return received === sent && sent * segmentBytes >= 32 * MIB
        })
      }
      assert.is(sender.stats().driver, from)
      assert.is(sender.stats().gsoTrains > 0, from === 'segmented')
      await Promise.all([sender.close(), receiver.close()])
    },
  )
}

withNative('memory that is no slab is sent as well', async () => {
  const [sender, receiver] = [await open('segmented'), await open('segmented')]
  const came: string[] = []
  receiver.onDatagram = (bytes) => came.push(String(Buffer.from(bytes)))
  sender.send(Buffer.from('one'), receiver.local, 3)
  sender.send(new Uint8Array([...Buffer.from('twotwo')]), receiver.local, 3)
  await pump(() => came.join('').length === 9)
  assert.is(came.join(''), 'onetwotwo')
  await Promise.all([sender.close(), receiver.close()])
})

for (const driver of ['segmented', 'batched', 'plain'] as const) {
  withSix(
    `IPv6, ${driver}: addresses read as those of dgram, and answers find their way`,
    async () => {
      const port = await open(driver, '::1')
      const other = createSocket('udp6')
      await new Promise<void>((resolve) => other.bind(0, '::1', resolve))
      port.onDatagram = (bytes, from) => {
        assert.equal(from, { host: '::1', port: other.address().port })
        port.send(bytes, from, bytes.length)
      }
      const answer = new Promise<string>((resolve) =>
        other.once('message', (bytes, { port: from }) => resolve(`${bytes} of ${from}`)),
      )
      // Twice: the first comes by dgram, whoever is asked for the second.
      other.send('echo', port.local.port, '::1')
      assert.is(await answer, `echo of ${port.local.port}`)
      other.close()
      await port.close()
    },
  )
}

withNative('receive() takes all that waits, and says so', async () => {
  for (const driver of ['segmented', 'batched'] as const) {
    const [sender, receiver] = [await open(driver), await open(driver)]
    let count = 0
    receiver.onDatagram = () => {
      count += 1
    }
    for (let i = 0; i < 200; i += 1) sender.send(Buffer.alloc(100 + i, i), receiver.local, 1_000)
    assert.ok(receiver.receive?.())
    assert.is(count, 200)
    assert.ok(receiver.receive?.())
    await Promise.all([sender.close(), receiver.close()])
  }
})

withNative('a flood does not keep the loop from its timers', async () => {
  const [sender, receiver] = [await open('segmented'), await open('segmented')]
  const block = newSlab(65_507)
  let count = 0
  receiver.onDatagram = () => {
    count += 1
    // As many again as come: reading alone would never end.
    sender.send(block, receiver.local, block.length)
  }
  for (let i = 0; i < 8; i += 1) sender.send(block, receiver.local, block.length)
  await sleep(20)
  assert.ok(count > 0)
  assert.ok(receiver.stats().recvBatchFull > 0, 'it gave way')
  receiver.onDatagram = null
  await Promise.all([sender.close(), receiver.close()])
})

withNative('sockets closed in the middle of traffic, 100 times: nothing breaks', async () => {
  for (let round = 0; round < 100; round += 1) {
    const driver = (['segmented', 'batched'] as const)[round % 2]
    const [left, right] = [await open(driver), await open(driver)]
    const block = newSlab(60_000)
    for (const [port, other] of [
      [left, right],
      [right, left],
    ] as const) {
      port.onDatagram = (bytes) => {
        port.send(block.subarray(0, bytes.length), other.local, 1_200) // back and forth for ever
        if (bytes.length > 1_200 && round % 3 === 0) void port.close()
      }
    }
    left.send(block, right.local, 1_200)
    right.send(block, left.local, 1_200)
    for (let i = 0; i <= round % 4; i += 1) await turn()
    const closing = [left.close(), right.close()]
    assert.ok(left.send(block, right.local, 1_200), 'goes nowhere')
    assert.not(left.receive?.() ?? false)
    await Promise.all(closing)
  }
})

test.run()
