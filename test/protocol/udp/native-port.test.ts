// test/protocol/udp/native-port.test.ts — what becomes of datagrams when the kernel says no?
import { constants } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openSocketCalls } from '../../../protocol/native/libc.ts'
import { newSlab } from '../../../protocol/native/slab.ts'
import type { TransportError } from '../../../protocol/types.ts'
import type { PlainPort } from '../../../protocol/udp/plain-port.ts'
import { openUdpPort, type UdpDriver } from '../../../protocol/udp/udp-port.ts'
import { testUnless } from '../../support/skip.ts'
import { ScriptedCalls } from './scripted-calls.ts'

const HOST = '127.0.0.1'
const { EAGAIN, ECONNREFUSED, EFAULT, EINTR, EINVAL, EIO, EMSGSIZE } = constants.errno
const { ENOBUFS, ENOPROTOOPT, ENOSYS, EPERM } = constants.errno

const test = suite('udp: a kernel that says no')
const real = openSocketCalls()
const withNative = testUnless(test, real ? null : 'no native calls on this machine')

interface Pair {
  readonly calls: ScriptedCalls
  readonly sender: PlainPort
  readonly receiver: PlainPort
  /** The first byte and the length of each datagram that arrived. */
  readonly came: string[]
  readonly tooLarge: number[]
}

async function withPair(driver: UdpDriver, run: (pair: Pair) => Promise<void>): Promise<void> {
  const calls = new ScriptedCalls(real!)
  const sender = await openUdpPort({ host: HOST, port: 0 }, { driver, calls })
  const receiver = await openUdpPort({ host: HOST, port: 0 }, { driver: 'plain' })
  const pair: Pair = { calls, sender, receiver, came: [], tooLarge: [] }
  receiver.onDatagram = (bytes) => pair.came.push(`${bytes[0]}:${bytes.length}`)
  sender.onTooLarge = (to, sizeBytes) => {
    assert.is(to, receiver.local)
    pair.tooLarge.push(sizeBytes)
  }
  await run(pair)
  await Promise.all([sender.close(), receiver.close()])
}

/** Segments whose first bytes count from `first`. */
function trainOf(first: number, lengths: readonly number[]): Buffer {
  const train = newSlab(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const [i, length] of lengths.entries()) {
    train[at] = first + i
    at += length
  }
  return train
}

async function until(isDone: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + 10_000
  while (!isDone()) {
    assert.ok(Date.now() < endMs, what)
    await turn()
  }
}

const THREE = ['1:1300', '2:1300', '3:700']

withNative(
  'scenario 17: EIO on the first train: the same bytes leave in the same call',
  async () => {
    await withPair('segmented', async ({ calls, sender, receiver, came }) => {
      calls.trains.push(-EIO)
      assert.ok(sender.send(trainOf(1, [1_300, 1_300, 700]), receiver.local, 1_300))
      assert.equal(calls.asked, ['train 3300/1300', 'train 1300/1300', 'each 2000/1300'])
      await until(() => came.length === 3, 'all three')
      assert.equal(came, THREE)
      assert.is(sender.stats().driver, 'batched')
      assert.is(sender.stats().gsoFallbacks, 1)
      sender.send(trainOf(4, [1_300, 1_300]), receiver.local, 1_300)
      assert.is(calls.asked.at(-1), 'each 2600/1300', 'no train is tried again')
      await until(() => came.length === 5, 'the next train')
    })
  },
)

withNative('scenario 16: the route shrank: the size is reported, and trains go on', async () => {
  await withPair('segmented', async ({ calls, sender, receiver, came, tooLarge }) => {
    for (const refusal of [-EINVAL, -EMSGSIZE]) {
      calls.trains.push(refusal, -EMSGSIZE)
      assert.ok(sender.send(trainOf(1, [1_300, 1_300]), receiver.local, 1_300), 'sent, and lost')
    }
    assert.equal(tooLarge, [1_300, 1_300])
    assert.is(sender.stats().sendErrors, 4)
    assert.is(sender.stats().driver, 'segmented')
    sender.send(trainOf(5, [1_250, 1_250]), receiver.local, 1_250)
    assert.is(sender.stats().gsoTrains, 1)
    await until(() => came.length === 2, 'a smaller train')
    // A real refusal: no interface takes more than 65 507 bytes.
    const large = newSlab(65_536)
    assert.ok(sender.send(large, receiver.local, large.length))
    assert.equal(tooLarge, [1_300, 1_300, 65_536])
  })
})

withNative(
  'EINVAL for trains whose datagrams pass: given up at 1200 bytes, or the third time',
  async () => {
    await withPair('segmented', async ({ calls, sender, receiver, came }) => {
      calls.trains.push(-EINVAL)
      sender.send(trainOf(1, [1_300, 1_300, 700]), receiver.local, 1_300)
      assert.is(sender.stats().driver, 'segmented')
      calls.trains.push(-EINVAL)
      sender.send(trainOf(4, [1_200, 1_200]), receiver.local, 1_200)
      assert.is(sender.stats().driver, 'batched')
      await until(() => came.length === 5, 'all five')
      assert.equal(came, [...THREE, '4:1200', '5:1200'])
    })
    await withPair('segmented', async ({ calls, sender, receiver, came }) => {
      for (let i = 0; i < 3; i += 1) {
        assert.is(sender.stats().driver, 'segmented')
        calls.trains.push(-EINVAL)
        sender.send(trainOf(1, [1_300, 1_300]), receiver.local, 1_300)
      }
      assert.is(sender.stats().driver, 'batched')
      await until(() => came.length === 6, 'all six')
    })
  },
)

withNative('scenario 18: an EAGAIN storm: nothing is lost, doubled or out of order', async () => {
  for (const driver of ['segmented', 'batched'] as const) {
    await withPair(driver, async ({ calls, sender, receiver, came }) => {
      let writable = 0
      sender.onWritable = () => {
        writable += 1
      }
      for (let i = 0; i < 20; i += 1) {
        const full = i % 2 === 0 ? -EAGAIN : -ENOBUFS
        calls.trains.push(full)
        calls.batches.push(full)
        const train = trainOf(3 * i, [1_300, 1_300, 700])
        while (!sender.send(train, receiver.local, 1_300)) {
          const before = writable
          assert.not(sender.send(train, receiver.local, 1_300), 'not before it is writable')
          await until(() => writable > before, 'onWritable')
        }
      }
      await until(() => came.length === 60, 'all sixty')
      assert.equal(
        came,
        Array.from({ length: 60 }, (_, i) => `${i}:${i % 3 === 2 ? 700 : 1_300}`),
      )
      assert.is(sender.stats().sendEagain, 20)
      assert.is(sender.stats().sendErrors, 0)
    })
  }
})

withNative(
  'half a batch has left when the socket is full: the rest follows, before all else',
  async () => {
    await withPair('batched', async ({ calls, sender, receiver, came }) => {
      calls.batches.push(2, -EAGAIN, 1, -EAGAIN)
      const train = trainOf(1, [1_300, 1_300, 1_300, 1_300, 700])
      assert.ok(sender.send(train, receiver.local, 1_300), 'the port has taken it')
      train.fill(99) // the caller may
      let writable = false
      sender.onWritable = () => {
        writable = true
      }
      assert.not(sender.send(trainOf(6, [500]), receiver.local, 500))
      await until(() => writable, 'onWritable')
      assert.ok(sender.send(trainOf(6, [500]), receiver.local, 500))
      await until(() => came.length === 6, 'all six')
      assert.equal(came, ['1:1300', '2:1300', '3:1300', '4:1300', '5:700', '6:500'])
    })
    // The same behind a train that was refused.
    await withPair('segmented', async ({ calls, sender, receiver, came }) => {
      calls.trains.push(-EIO)
      calls.batches.push(-EAGAIN)
      assert.ok(sender.send(trainOf(1, [1_300, 1_300, 700]), receiver.local, 1_300))
      await until(() => came.length === 3, 'all three')
      assert.equal(came, THREE)
    })
  },
)

withNative('signals and ICMP errors of other times pass; a firewall counts as loss', async () => {
  await withPair('segmented', async ({ calls, sender, receiver, came }) => {
    calls.trains.push(-EINTR, -ECONNREFUSED)
    assert.ok(sender.send(trainOf(1, [900]), receiver.local, 900))
    calls.trains.push(...new Array(20).fill(-ECONNREFUSED))
    assert.ok(sender.send(trainOf(2, [900]), receiver.local, 900), 'given up after a few')
    calls.trains.length = 0
    calls.trains.push(-EPERM)
    assert.ok(sender.send(trainOf(3, [900]), receiver.local, 900))
    assert.is(sender.stats().sendErrors, 2)
    sender.send(trainOf(4, [900]), receiver.local, 900)
    await until(() => came.length === 2, 'first and last')
    assert.equal(came, ['1:900', '4:900'])
    assert.is(sender.stats().driver, 'segmented')
  })
})

withNative(
  'calls that fail for good: the port goes on as a plain one, with the same bytes',
  async () => {
    for (const error of [EFAULT, ENOSYS]) {
      await withPair('segmented', async ({ calls, sender, receiver, came }) => {
        calls.trains.push(-error)
        assert.ok(sender.send(trainOf(1, [1_300, 1_300, 700]), receiver.local, 1_300))
        assert.is(sender.stats().driver, 'plain')
        assert.is(sender.trainSegmentsMax, 1)
        await until(() => came.length === 3, 'all three')
        assert.equal(came, THREE)
        const back = new Promise<number>((resolve) => {
          sender.onDatagram = (bytes) => resolve(bytes.length)
        })
        receiver.send(Buffer.alloc(700), sender.local, 700)
        assert.is(await back, 700)
      })
      await withPair('segmented', async ({ calls, sender, receiver }) => {
        const lengths: number[] = []
        sender.onDatagram = (bytes) => lengths.push(bytes.length)
        calls.receives.push(-error)
        for (const length of [701, 702, 703])
          receiver.send(Buffer.alloc(length), sender.local, length)
        await until(() => lengths.length === 3, 'what came afterwards')
        assert.equal(lengths, [701, 702, 703])
        assert.is(sender.stats().driver, 'plain')
      })
    }
  },
)

const failure = (promise: Promise<unknown>): Promise<TransportError> =>
  promise.then(
    () => assert.unreachable('it must fail') as never,
    (error: TransportError) => error,
  )

/** With HOLDFAST_UDP as given, whatever the tests themselves run with. */
async function withWish(wish: string, run: () => Promise<void>): Promise<void> {
  const before = process.env.HOLDFAST_UDP
  process.env.HOLDFAST_UDP = wish
  try {
    await run()
  } finally {
    if (before === undefined) delete process.env.HOLDFAST_UDP
    else process.env.HOLDFAST_UDP = before
  }
}

test('without native calls the socket is plain; who insists is told what to do', async () => {
  const bind = { host: HOST, port: 0 }
  await withWish('', async () => {
    const port = await openUdpPort(bind, { calls: null })
    assert.is(port.stats().driver, 'plain')
    await port.close()
  })
  for (const driver of ['segmented', 'batched'] as const) {
    const error = await failure(openUdpPort(bind, { driver, calls: null }))
    assert.is(error.code, 'ERR_HOLDFAST_SOCKET')
    assert.match(error.message, 'HOLDFAST_UDP=plain')
  }
})

withNative('a kernel without segmentation, a sandbox without sockets', async () => {
  const bind = { host: HOST, port: 0 }
  const calls = new ScriptedCalls(real!)
  calls.segmentAnswer = -ENOPROTOOPT
  const refused = await failure(openUdpPort(bind, { calls, driver: 'segmented' }))
  assert.is(refused.code, 'ERR_HOLDFAST_SOCKET')
  await withWish('', async () => {
    const batched = await openUdpPort(bind, { calls })
    assert.is(batched.stats().driver, 'batched')
    await batched.close()
    calls.socketAnswer = -EPERM
    const plain = await openUdpPort(bind, { calls })
    assert.is(plain.stats().driver, 'plain')
    await plain.close()
  })
})

withNative('a port in use is an error with every kind of socket, and leaks none', async () => {
  const taken = await openUdpPort({ host: HOST, port: 0 })
  for (const driver of ['segmented', 'batched', 'plain'] as const) {
    const error = await failure(openUdpPort(taken.local, { driver }))
    assert.is(error.code, 'ERR_HOLDFAST_SOCKET')
    assert.match(error.message, `port in use: ${HOST}:${taken.local.port}/udp (EADDRINUSE)`)
  }
  await taken.close()
})

test('HOLDFAST_UDP names the socket', async () => {
  await withWish('plain', async () => {
    const port = await openUdpPort({ host: HOST, port: 0 })
    assert.is(port.stats().driver, 'plain')
    await port.close()
  })
  await withWish('fast', async () => {
    const error = await failure(openUdpPort({ host: HOST, port: 0 }))
    assert.is(error.code, 'ERR_HOLDFAST_INVALID')
    assert.match(error.message, 'segmented, batched, plain')
  })
})

test.run()
