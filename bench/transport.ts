// bench/transport.ts — how far is the transport from Node's TCP on this machine's loopback?
//
//   node bench/transport.ts [--rounds 5] [--bytes 536870912] [--json]
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Order, Rival, Word } from './transport-child.ts'

const CHILD = fileURLToPath(new URL('./transport-child.ts', import.meta.url))
const RIVALS: readonly Rival[] = ['tcp', 'holdfast', 'holdfast-crc-header', 'holdfast-1472']
const ROUNDS_DEFAULT = 5
/** The first 20 MB run at a fifth of the speed (compiling); they are not measured … */
const WARM_UP_BYTES = 64 * 1024 * 1024
/** … and what is measured must be long enough to say something. */
const BYTES_DEFAULT = 512 * 1024 * 1024
const GB = 1e9

export interface TransportRow {
  readonly name: Rival
  /** Median over the rounds; megabytes (10^6) per second, read by the receiver's application. */
  readonly goodputMBs: number
  readonly goodputMBsMin: number
  readonly goodputMBsMax: number
  /** Medians; user and system time of the whole process. */
  readonly senderCpuSecondsPerGB: number
  readonly receiverCpuSecondsPerGB: number
  /** Goodput over that of TCP in the same run. */
  readonly ratioToTcp: number
}

interface Sample {
  readonly goodputMBs: number
  readonly senderCpu: number
  readonly receiverCpu: number
}

/** Sender and receiver are two processes; the order of the rivals turns every round. */
export async function benchTransport({
  rounds = ROUNDS_DEFAULT,
  bytes = BYTES_DEFAULT,
}: {
  rounds?: number
  bytes?: number
} = {}): Promise<TransportRow[]> {
  const samples = new Map<Rival, Sample[]>(RIVALS.map((rival) => [rival, []]))
  for (let round = 0; round < rounds; round += 1) {
    const turn = round % RIVALS.length
    for (const rival of [...RIVALS.slice(turn), ...RIVALS.slice(0, turn)]) {
      samples.get(rival)!.push(await measure(rival, bytes))
    }
  }
  const tcpMBs = median(samples.get('tcp')!.map((sample) => sample.goodputMBs))
  return RIVALS.map((name) => toRow(name, samples.get(name)!, tcpMBs))
}

async function measure(rival: Rival, bytes: number): Promise<Sample> {
  const receiver = fork(CHILD, ['receive', rival])
  const { port } = await heard(receiver, 'listening')
  const sender = fork(CHILD, ['send', rival, String(port)])
  try {
    await heard(sender, 'connected')
    await transfer(sender, receiver, WARM_UP_BYTES)
    return await transfer(sender, receiver, bytes)
  } finally {
    sender.kill('SIGKILL')
    receiver.kill('SIGKILL')
  }
}

async function transfer(
  sender: ChildProcess,
  receiver: ChildProcess,
  bytes: number,
): Promise<Sample> {
  const order: Order = { kind: 'send', bytes }
  sender.send(order)
  const [sent, received] = await Promise.all([heard(sender, 'sent'), heard(receiver, 'received')])
  if (received.bytes !== bytes) throw new Error(`${received.bytes} of ${bytes} bytes were read`)
  return {
    goodputMBs: bytes / 1e6 / sent.seconds,
    senderCpu: sent.cpuSeconds / (bytes / GB),
    receiverCpu: received.cpuSeconds / (bytes / GB),
  }
}

function heard<K extends Word['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<Word, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a child exited with ${code}`))
    const onMessage = (word: Word): void => {
      if (word.kind !== kind) return
      child.off('message', onMessage)
      child.off('exit', onExit)
      resolve(word as Extract<Word, { kind: K }>)
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
  })
}

function toRow(name: Rival, samples: readonly Sample[], tcpMBs: number): TransportRow {
  const goodputs = samples.map((sample) => sample.goodputMBs)
  const goodputMBs = median(goodputs)
  return {
    name,
    goodputMBs,
    goodputMBsMin: Math.min(...goodputs),
    goodputMBsMax: Math.max(...goodputs),
    senderCpuSecondsPerGB: median(samples.map((sample) => sample.senderCpu)),
    receiverCpuSecondsPerGB: median(samples.map((sample) => sample.receiverCpu)),
    ratioToTcp: goodputMBs / tcpMBs,
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle] ?? Number.NaN
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

export function formatTransport(rows: readonly TransportRow[]): string {
  const lines = rows.map((row) =>
    [
      row.name.padEnd(20),
      row.goodputMBs.toFixed(0).padStart(6),
      `${row.goodputMBsMin.toFixed(0)}–${row.goodputMBsMax.toFixed(0)}`.padStart(11),
      row.senderCpuSecondsPerGB.toFixed(2).padStart(9),
      row.receiverCpuSecondsPerGB.toFixed(2).padStart(9),
      row.ratioToTcp.toFixed(2).padStart(7),
    ].join(' '),
  )
  const title = [
    'transport, loopback'.padEnd(20),
    'MB/s'.padStart(6),
    'min–max'.padStart(11),
    'send s/GB'.padStart(9),
    'recv s/GB'.padStart(9),
    '× TCP'.padStart(7),
  ].join(' ')
  return [title, ...lines].join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: String(ROUNDS_DEFAULT) },
      bytes: { type: 'string', default: String(BYTES_DEFAULT) },
      json: { type: 'boolean', default: false },
    },
  })
  const rows = await benchTransport({ rounds: Number(values.rounds), bytes: Number(values.bytes) })
  if (values.json) for (const row of rows) console.log(JSON.stringify(row))
  else console.log(formatTransport(rows))
}
