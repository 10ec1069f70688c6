// test/run.ts — did every queued test run, and did each file queue some?
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

type Run = () => Promise<[errors: string | true, ran: number, skipped: number, total: number]>
const DEADLINE_MS = Number(process.env.TEST_DEADLINE_MS ?? 900_000)
setTimeout(() => {
  console.error(`no end after ${DEADLINE_MS} ms`)
  process.exit(1)
}, DEADLINE_MS).unref() // an empty loop exits 13 by itself
const queue: [file: string, ...suites: Run[]][] = []
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: queue }) // before uvu loads, hence import()
for (const file of globSync(process.argv[2] ?? 'test/**/*.test.ts')) {
  Object.assign(globalThis, { UVU_INDEX: queue.push([file]) - 1 })
  await import(pathToFileURL(resolve(file)).href)
}
const sum = { passed: 0, failed: 0, skipped: 0 }
for (const [file, ...suites] of queue) {
  if (suites.length === 0) throw new Error(`${file}: nothing queued; is .run() missing?`)
  for (const run of suites) {
    const [errors, ran, skipped, total] = await run()
    if (errors !== true) console.error(errors)
    sum.passed += ran
    sum.skipped += skipped
    sum.failed += total - ran
  }
}
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0
