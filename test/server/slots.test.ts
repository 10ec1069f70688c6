// test/server/slots.test.ts — is the cap a cap, and does everybody get a turn?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Slots } from '../../src/server/slots.ts'
import { codeOf } from './support/code-of.ts'

const test = suite('server: slots')
const never = new AbortController().signal
const open = (units = 2, waitersMax = 2): Slots => new Slots({ units, waitersMax, what: 'tests' })
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('no more run at once than allowed, and those who wait are served in order', async () => {
  const slots = open()
  const order: number[] = []
  const release = [await slots.take(1, never), await slots.take(1, never)]
  for (const place of [3, 4]) {
    slots.take(1, never).then((give) => {
      order.push(place)
      release.push(give)
    })
  }
  await settle()
  assert.equal(order, [])
  release[0]?.()
  await settle()
  assert.equal(order, [3])
  release[1]?.()
  await settle()
  assert.equal(order, [3, 4])
  assert.is(slots.usedUnits, 2)
})

test('giving back twice gives back once', async () => {
  const slots = open()
  const release = await slots.take(1, never)
  await slots.take(1, never)
  release()
  release()
  assert.is(slots.usedUnits, 1)
})

test('a large one is not starved by small ones that come later', async () => {
  const slots = open(10, 5)
  const release = await slots.take(6, never)
  const order: string[] = []
  slots.take(8, never).then((give) => {
    order.push('large')
    give()
  })
  slots.take(1, never).then(() => order.push('small'))
  await settle()
  assert.equal(order, [])
  release()
  await settle()
  assert.equal(order, ['large', 'small'])
})

test('more than there is counts as all there is, rather than waiting for ever', async () => {
  const slots = open(10, 5)
  const release = await slots.take(1_000, never)
  assert.is(slots.usedUnits, 10)
  release()
  assert.is(slots.usedUnits, 0)
})

test('the queue has an end: beyond it the server says that it is busy', async () => {
  const slots = open(1, 1)
  await slots.take(1, never)
  slots.take(1, never)
  assert.is(await codeOf(slots.take(1, never)), 'DEADLINE_EXCEEDED')
})

test('whoever gives up while waiting leaves the queue, and blocks nobody', async () => {
  const slots = open(10, 5)
  const release = await slots.take(6, never)
  const controller = new AbortController()
  const large = codeOf(slots.take(8, controller.signal))
  const small = slots.take(1, never)
  controller.abort()
  assert.is(await large, 'CANCELLED')
  await small
  release()
  assert.is(slots.usedUnits, 1)
  assert.is(await codeOf(slots.take(1, controller.signal)), 'CANCELLED')
})

test.run()
