// test/fuzz/worker.ts — the thread that fuzzes, so that another can see when it hangs.
import { parentPort, workerData } from 'node:worker_threads'
import { keep } from './corpus.ts'
import { Finding, Fuzzer } from './fuzzer.ts'
import { TARGETS } from './targets/index.ts'
import { type Message, type Row, SHARED_HEAD_BYTES, type Work } from './work.ts'

const SLICE_MS_MAX = 1_500
/** A target that fails so often is broken for certain. */
const FINDINGS_MAX = 5

class Job {
  readonly fuzzer: Fuzzer
  runMs = 0
  kept = 0
  findings = 0
  isReplayed = false

  constructor(fuzzer: Fuzzer) {
    this.fuzzer = fuzzer
  }
}

const { names, seed, minutes, keeps, shared } = workerData as Work
const numbers = new Uint32Array(shared, 0, 3)
const bytes = new Uint8Array(shared, SHARED_HEAD_BYTES)
const tell = (message: Message): void => parentPort?.postMessage(message)

const jobs = names.map((name, index) => {
  const target = TARGETS.find((candidate) => candidate.name === name)!
  const job: Job = new Job(
    new Fuzzer({
      target,
      seed,
      onInput: (input) => {
        numbers[0] = input.length
        numbers[1] = index
        numbers[2]! += 1
        bytes.set(input)
      },
      onNew: (input) => {
        if (keeps && keep(name, input)) job.kept += 1
      },
    }),
  )
  return job
})

const sliceMs = Math.min(SLICE_MS_MAX, (minutes * 60_000) / (2 * names.length))
const endMs = performance.now() + minutes * 60_000
while (performance.now() < endMs && jobs.some(isAlive)) {
  for (const job of jobs) if (isAlive(job) && performance.now() < endMs) await slice(job)
}
tell({ type: 'done', rows: jobs.map(rowOf) })

function isAlive({ findings }: Job): boolean {
  return findings < FINDINGS_MAX
}

async function slice(job: Job): Promise<void> {
  const startMs = performance.now()
  const untilMs = Math.min(endMs, startMs + sliceMs)
  try {
    if (!job.isReplayed) {
      job.isReplayed = true
      await job.fuzzer.replay()
    }
    await job.fuzzer.run(() => performance.now() > untilMs)
  } catch (error) {
    if (!(error instanceof Finding)) throw error
    job.findings += 1
    const { input, message } = error
    tell({ type: 'finding', target: job.fuzzer.target.name, words: message, input })
  }
  job.runMs += performance.now() - startMs
}

function rowOf({ fuzzer, runMs, kept, findings }: Job): Row {
  return {
    name: fuzzer.target.name,
    inputs: fuzzer.inputs,
    perSecond: Math.round((fuzzer.inputs / Math.max(1, runMs)) * 1_000),
    outcomes: fuzzer.outcomes,
    kept,
    slowestMs: Math.round(fuzzer.slowestMs),
    findings,
  }
}
