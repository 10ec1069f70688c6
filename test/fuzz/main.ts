// test/fuzz/main.ts — npm run fuzz: what do hours of rubbish find?
//
//   npm run fuzz -- --minutes M [--target NAME[,NAME]] [--seed S] [--keep] [--findings DIR]
//
// The time is shared by the targets. Goes on from test/fuzz/corpus/; --keep adds inputs that went
// where none went before. A finding is printed, written to DIR (default data/fuzz), and makes the
// exit code 1; the file put into the corpus becomes a test.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { chosenSeed } from '../sim/random.ts'
import { nameOf } from './corpus.ts'
import { TARGETS } from './targets/index.ts'
import { type Message, type Row, SHARED_HEAD_BYTES, type Work } from './work.ts'

/** One input may not use more of the processor; the machine being busy does not count. */
const HANG_CPU_MS = 10_000
/** … nor take longer, whoever is busy: a promise that nobody settles uses none. */
const HANG_MS = 120_000
const LOOK_MS = 1_000
const HEAP_MIB_MAX = 1_024

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    target: { type: 'string' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
    findings: { type: 'string', default: join('data', 'fuzz') },
  },
})

const minutes = Number(values.minutes)
const seed = values.seed === undefined ? chosenSeed() : Number(values.seed)
const known = TARGETS.map(({ name }) => name)
const names = values.target?.split(',') ?? known
const unknown = names.filter((name) => !known.includes(name))
if (unknown.length > 0 || !(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error(`--minutes over 0, --seed a whole number, --target of: ${known.join(', ')}`)
  process.exit(1)
}

const sizeBytesMax = Math.max(...TARGETS.map((target) => target.sizeBytesMax))
const shared = new SharedArrayBuffer(SHARED_HEAD_BYTES + 2 ** Math.ceil(Math.log2(sizeBytesMax)))
const numbers = new Uint32Array(shared, 0, 3)
let findings = 0

console.log(`${names.length} targets, ${minutes} minutes, --seed ${seed}`)
const workerData: Work = { names, seed, minutes, keeps: values.keep, shared }
const worker = new Worker(new URL('./worker.ts', import.meta.url), {
  workerData,
  resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
})
worker.on('message', (message: Message) => {
  if (message.type === 'finding') report(message.words, message.target, message.input)
  else finish(message.rows)
})
worker.on('error', (error) => {
  report(`${currentName()}: the thread died: ${error}`, currentName(), currentInput())
  process.exit(1)
})
watch()

/** Ends everything when one input does not end: nobody can stop it from inside. */
function watch(): void {
  let count = -1
  let sinceMs = 0
  let sinceCpuMs = 0
  setInterval(() => {
    const nowMs = performance.now()
    const { user, system } = process.cpuUsage()
    const cpuMs = (user + system) / 1_000
    if (count !== numbers[2]) {
      count = numbers[2]!
      sinceMs = nowMs
      sinceCpuMs = cpuMs
      return
    }
    if (cpuMs - sinceCpuMs < HANG_CPU_MS && nowMs - sinceMs < HANG_MS) return
    report(`${currentName()}: hangs`, currentName(), currentInput())
    process.exit(1)
  }, LOOK_MS).unref()
}

function currentName(): string {
  return names[numbers[1]!] ?? ''
}

function currentInput(): Uint8Array {
  return Uint8Array.from(new Uint8Array(shared, SHARED_HEAD_BYTES, numbers[0]))
}

function report(words: string, target: string, input: Uint8Array): void {
  findings += 1
  mkdirSync(values.findings, { recursive: true })
  const path = join(values.findings, `${target}-${nameOf(input)}`)
  writeFileSync(path, input)
  console.error(`FINDING ${path}\n${words}\n`)
}

function finish(rows: readonly Row[]): void {
  console.log('target            inputs   per s  outcomes  kept  slowest  findings')
  for (const row of rows) {
    const { name, inputs, perSecond, outcomes, kept, slowestMs } = row
    const columns: [number | string, number][] = [
      [inputs, 10],
      [perSecond, 8],
      [outcomes, 10],
      [kept, 6],
      [`${slowestMs} ms`, 9],
      [row.findings, 10],
    ]
    const cells = columns.map(([value, width]) => String(value).padStart(width))
    console.log(name.padEnd(14) + cells.join(''))
  }
  const total = rows.reduce((sum, { inputs }) => sum + inputs, 0)
  const peakMib = Math.round(process.resourceUsage().maxRSS / 1_024)
  console.log(`${total} inputs, ${findings} findings, at most ${peakMib} MiB of memory`)
  process.exit(findings === 0 ? 0 : 1)
}
