// bench/transport.ts — how far is the transport from TCP, TLS and udx on this machine's loopback?
//
//   node bench/transport.ts [--rounds 5] [--quick] [--only NAME] [--json]
//
// Sender and receiver are two processes, every byte is compared on arrival, and the order turns
// from round to round. Compare the ratios: they are of medians of the same minutes.
import { parseArgs } from 'node:util'
import { median } from './median.ts'
import { type PhysicalLimits, physicalLimits } from './physical.ts'
import { LOOPBACK, transfer } from './rivals/pair.ts'
import type { RivalSpec } from './rivals/rival.ts'
import { beside, type Goal, table } from './table.ts'

const MIB = 2 ** 20
const ROUNDS_DEFAULT = 5
/** The first 20 MB run at a fifth of the speed (compiling); they are not measured … */
const WARM_UP_BYTES = 64 * MIB
/** … and what is measured takes seconds. */
const BYTES = 1024 * MIB
const BYTES_SLOW = 256 * MIB
const QUICK_DIVISOR = 4

interface Entry {
  readonly name: string
  readonly spec: RivalSpec
  readonly isSlow?: boolean
  /** Goodput over that of … */
  readonly goals?: { readonly tcp?: Goal; readonly tls?: Goal; readonly udx?: Goal }
  /** CPU seconds per GB, both ends, over those of TLS. */
  readonly cpuGoal?: Goal
}

const ETHERNET = { kind: 'holdfast', mtuBytes: 1_472 } as const

const ENTRIES: readonly Entry[] = [
  { name: 'Node TCP', spec: { kind: 'tcp' } },
  { name: 'Node TLS 1.3', spec: { kind: 'tls' } },
  { name: 'udx-native', spec: { kind: 'udx' }, isSlow: true },
  {
    name: 'holdfast',
    spec: { kind: 'holdfast' },
    goals: { tcp: { atLeast: 0.72 }, tls: { atLeast: 1 }, udx: { atLeast: 6.5 } },
    cpuGoal: { atMost: 1.1 },
  },
  {
    name: 'holdfast, CRC header',
    spec: { kind: 'holdfast', crc: 'header' },
    goals: { tcp: { atLeast: 0.95 }, tls: { atLeast: 1.3 } },
  },
  {
    name: 'holdfast 1472',
    spec: ETHERNET,
    goals: { tcp: { atLeast: 0.38 }, udx: { atLeast: 3.5 } },
  },
  {
    name: 'holdfast 1472, CRC header',
    spec: { ...ETHERNET, crc: 'header' },
    goals: { tcp: { atLeast: 0.55 }, udx: { atLeast: 5 } },
  },
  {
    name: 'holdfast 1472, batched',
    spec: { ...ETHERNET, driver: 'batched' },
    isSlow: true,
    goals: { udx: { atLeast: 1.4 } },
  },
  {
    name: 'holdfast 1472, plain dgram',
    spec: { ...ETHERNET, driver: 'plain' },
    isSlow: true,
    goals: { udx: { atLeast: 0.6 } },
  },
]

export interface TransportRow {
  readonly name: string
  /** Medians; megabytes (10^6) per second, read by the receiver's program. */
  readonly goodputMBs: number
  readonly goodputMBsMin: number
  readonly goodputMBsMax: number
  /** Medians; user and system time of the whole process. */
  readonly senderCpuSecondsPerGB: number
  readonly receiverCpuSecondsPerGB: number
  readonly cpuRatioToTls: number
  readonly ratioToTcp: number
  readonly ratioToTls: number
  readonly ratioToUdx: number
}

export interface TransportResult {
  readonly rows: readonly TransportRow[]
  readonly limits: PhysicalLimits
}

interface Sample {
  readonly goodputMBs: number
  readonly senderCpu: number
  readonly receiverCpu: number
}

export interface TransportOptions {
  readonly rounds?: number | undefined
  readonly quick?: boolean
  /** Beside the rivals only what has this in its name. */
  readonly only?: string | undefined
}

export async function benchTransport(options: TransportOptions = {}): Promise<TransportResult> {
  const { quick = false, only } = options
  const rounds = options.rounds ?? (quick ? 2 : ROUNDS_DEFAULT)
  const entries = ENTRIES.filter(
    ({ name, spec }) => spec.kind !== 'holdfast' || only === undefined || name.includes(only),
  )
  const limits = physicalLimits()
  const samples = new Map<string, Sample[]>(entries.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    const turn = round % entries.length
    for (const entry of [...entries.slice(turn), ...entries.slice(0, turn)]) {
      samples.get(entry.name)!.push(await measure(entry, quick))
    }
  }
  return { rows: toRows(entries, samples), limits }
}

async function measure({ name, spec, isSlow }: Entry, quick: boolean): Promise<Sample> {
  const bytes = (isSlow ? BYTES_SLOW : BYTES) / (quick ? QUICK_DIVISOR : 1)
  const done = await transfer(spec, LOOPBACK, { bytes, warmUpBytes: WARM_UP_BYTES })
  if (!done.isWhole || done.wrongAt !== null || done.bytes !== bytes) {
    throw new Error(`${name}: ${done.bytes} of ${bytes} bytes came, wrong at ${done.wrongAt}`)
  }
  const { senderCpuPerGB, receiverCpuPerGB } = done
  const goodputMBs = done.bitsPerSecond / 8e6
  return { goodputMBs, senderCpu: senderCpuPerGB, receiverCpu: receiverCpuPerGB }
}

function toRows(
  entries: readonly Entry[],
  samples: ReadonlyMap<string, readonly Sample[]>,
): TransportRow[] {
  const typical = (name: string, of: (sample: Sample) => number): number =>
    median((samples.get(name) ?? []).map(of))
  const cpuOf = (sample: Sample): number => sample.senderCpu + sample.receiverCpu
  const goodput = (name: string): number => typical(name, (sample) => sample.goodputMBs)
  return entries.map(({ name }) => {
    const all = (samples.get(name) ?? []).map((sample) => sample.goodputMBs)
    const goodputMBs = goodput(name)
    return {
      name,
      goodputMBs,
      goodputMBsMin: Math.min(...all),
      goodputMBsMax: Math.max(...all),
      senderCpuSecondsPerGB: typical(name, (sample) => sample.senderCpu),
      receiverCpuSecondsPerGB: typical(name, (sample) => sample.receiverCpu),
      cpuRatioToTls: typical(name, cpuOf) / typical('Node TLS 1.3', cpuOf),
      ratioToTcp: goodputMBs / goodput('Node TCP'),
      ratioToTls: goodputMBs / goodput('Node TLS 1.3'),
      ratioToUdx: goodputMBs / goodput('udx-native'),
    }
  })
}

export function formatTransport({ rows, limits }: TransportResult): string {
  const head = ['loopback', 'MB/s', 'min–max', 'CPU s/GB: send', 'receive']
  const lines = rows.map((row) => {
    const { goals, cpuGoal } = ENTRIES.find(({ name }) => name === row.name) ?? {}
    return [
      row.name,
      row.goodputMBs.toFixed(0),
      `${row.goodputMBsMin.toFixed(0)}–${row.goodputMBsMax.toFixed(0)}`,
      row.senderCpuSecondsPerGB.toFixed(2),
      row.receiverCpuSecondsPerGB.toFixed(2),
      beside(row.cpuRatioToTls, cpuGoal),
      beside(row.ratioToTcp, goals?.tcp),
      beside(row.ratioToTls, goals?.tls),
      beside(row.ratioToUdx, goals?.udx),
    ]
  })
  const all = [[...head, '× TLS', '× TCP', '× TLS', '× udx'], ...lines]
  return `${table(all)}\n\n${formatLimits(limits)}`
}

const formatLimits = (limits: PhysicalLimits): string =>
  [
    'What one core of this machine can do at most, MB/s:',
    ...Object.entries(limits).map(([name, megabytes]) => `  ${name}: ${megabytes.toFixed(0)}`),
  ].join('\n')

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  const result = await benchTransport({ rounds, quick: values.quick, only: values.only })
  if (values.json) console.log(JSON.stringify(result))
  else console.log(formatTransport(result))
}
