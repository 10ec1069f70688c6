// test/server/block-report.test.ts — can a report make the manager forget a blob that is there?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RequestOf } from '../../src/messages.ts'
import { ReportGate, sendReport } from '../../src/server/block-report.ts'
import { MemoryStore } from '../../src/server/store/memory-store.ts'
import { makeBlob, put } from './support/blobs.ts'
import { codeOf } from './support/code-of.ts'

const test = suite('server: block report')
const reportId = '0'.repeat(32)
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('an empty server says so, in one page that counts', async () => {
  const pages: RequestOf<'server.report'>[] = []
  const store = new MemoryStore({ capacityBytes: 1, reserveBytes: 0 })
  const send = async (page: RequestOf<'server.report'>) => {
    pages.push(page)
    return { unknown: 0, missing: 0 }
  }
  await sendReport({ number: 3, reportId, store, gate: new ReportGate(), send })
  assert.equal(pages, [{ number: 3, reportId, page: 0, last: true, blobs: [] }])
})

test('a blob stored between two pages is in the report', async () => {
  const store = new MemoryStore({ capacityBytes: 2 ** 30, reserveBytes: 0 })
  const late = makeBlob(61, 2_000)
  const entries = new Map<string, number>()
  for (let place = 0; place < 5_000; place += 1) {
    entries.set(place.toString(16).padStart(64, '0'), 10)
  }
  store.list = function* () {
    for (const [blobId, sizeBytes] of entries) yield { blobId, sizeBytes }
  }
  const seen: string[] = []
  const lasts: boolean[] = []
  const send = async ({ blobs, last }: RequestOf<'server.report'>) => {
    if (seen.length === 0) entries.set(late.blobId, late.bytes.length)
    seen.push(...blobs.map(({ blobId }) => blobId))
    lasts.push(last)
    return { unknown: 0, missing: 0 }
  }
  await sendReport({ number: 1, reportId, store, gate: new ReportGate(), send })
  assert.ok(seen.includes(late.blobId))
  assert.is(seen.length, 5_001)
  assert.equal(lasts, [false, true])
})

test('a replica is not reported while a report without it is on its way', async () => {
  const store = new MemoryStore({ capacityBytes: 2 ** 30, reserveBytes: 0 })
  const gate = new ReportGate()
  const arrived = Promise.withResolvers<void>()
  const order: string[] = []
  const send = async () => {
    await arrived.promise
    order.push('report')
    return { unknown: 0, missing: 0 }
  }
  const sending = sendReport({ number: 1, reportId, store, gate, send })
  await put(store, makeBlob(62, 2_000))
  const passing = gate.pass().then(() => order.push('replica'))
  await settle()
  assert.equal(order, [])
  arrived.resolve()
  await Promise.all([sending, passing])
  assert.equal(order, ['report', 'replica'])
})

test('a report that fails opens the gate again', async () => {
  const store = new MemoryStore({ capacityBytes: 2 ** 30, reserveBytes: 0 })
  const gate = new ReportGate()
  const send = async (): Promise<never> => {
    throw Object.assign(new Error('gone'), { code: 'UNREACHABLE' })
  }
  const code = await codeOf(sendReport({ number: 1, reportId, store, gate, send }))
  assert.is(code, 'UNREACHABLE')
  await gate.pass()
})

test.run()
