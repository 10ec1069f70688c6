// test/run.ts — did every queued test run, and did each file queue some?
//
//   node test/run.ts [FILE or GLOB ...]      SEED=n replays, TEST_DEADLINE_MS=n bounds the run
//
// uvu exits 0 when a hook throws or `.run()` is forgotten, so this counts for itself. The last
// line is `N passed, N failed, N skipped`, whatever happens; the exit code is 0 only when something
// passed and nothing failed.
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

type Run = () => Promise<[errors: string | true, ran: number, skipped: number, total: number]>

const DEADLINE_MS = Number(process.env.TEST_DEADLINE_MS ?? 1_800_000)
/** Files that take longer say so. */
const SLOW_MS = 10_000
const ALL = 'test/**/*.test.ts'

const sum = { passed: 0, failed: 0, skipped: 0 }
let current = 'loading'
let isDone = false

process.on('exit', () => {
  // An awaited promise that can never settle empties the event loop: Node would just end.
  if (!isDone) fail(`${current}: ended before its tests did`)
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
  process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0
})
process.on('unhandledRejection', (error) => fail(`${current}: a rejection nobody handled`, error))
process.on('uncaughtException', (error) => fail(`${current}: an exception nobody caught`, error))
setTimeout(() => {
  fail(`${current}: no end after ${DEADLINE_MS} ms`)
  isDone = true
  process.exit()
}, DEADLINE_MS).unref()

const patterns = process.argv.length > 2 ? process.argv.slice(2) : [ALL]
const files = [...new Set(globSync(patterns))].sort()
if (files.length === 0) fail(`no test file matches ${patterns.join(' ')}`)
if (process.env.SEED) console.log(`SEED=${process.env.SEED}`)

const queue: [file: string, ...suites: Run[]][] = []
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: queue }) // before uvu loads, hence import()
for (const file of files) {
  current = file
  Object.assign(globalThis, { UVU_INDEX: queue.push([file]) - 1 })
  try {
    await import(pathToFileURL(resolve(file)).href)
  } catch (error) {
    fail(`${file}: cannot be loaded`, error)
  }
}
for (const [file, ...suites] of queue) {
  current = file
  const startMs = performance.now()
  if (suites.length === 0) fail(`${file}: nothing queued; is .run() missing?`)
  for (const run of suites) {
    const [errors, ran, skipped, total] = await run()
    sum.passed += ran
    sum.skipped += skipped
    sum.failed += total - ran
    if (errors !== true) console.error(`\n${file}\n${errors}`)
    else if (ran < total) console.error(`${file}: a hook threw; ${total - ran} tests did not run`)
  }
  const tookMs = performance.now() - startMs
  if (tookMs > SLOW_MS) console.log(`  ${file} took ${Math.round(tookMs / 1_000)} s`)
}
await new Promise((turn) => setImmediate(turn)) // late rejections
isDone = true
process.exit()

function fail(what: string, error?: unknown): void {
  sum.failed += 1
  console.error(what, error ?? '')
}
