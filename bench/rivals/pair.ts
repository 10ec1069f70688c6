// bench/rivals/pair.ts — how is one transfer between two processes measured?
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { end, forkChild, heard } from '../children.ts'
import type { Order, Word } from './child.ts'
import type { RivalSpec } from './rival.ts'

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))
const GB = 1e9
/** Nothing arrived by then: the receiver is asked, and says 0 bytes. */
const REPORT_MS_MAX = 5_000

/** Where the two ends are; on this machine's loopback by default. */
export interface Place {
  readonly host: string
  readonly receiver?: string | undefined
  readonly sender?: string | undefined
}

export const LOOPBACK: Place = { host: '127.0.0.1' }

export interface Transfer {
  /** Delivered, of what is measured. */
  readonly bytes: number
  readonly seconds: number
  readonly bitsPerSecond: number
  /** Until the mark, where there was one and it was reached; else of the whole. */
  readonly bitsPerSecondToMark: number
  /** User and system time of each process per 10^9 bytes; NaN when it was cut off. */
  readonly senderCpuPerGB: number
  readonly receiverCpuPerGB: number
  readonly wrongAt: number | null
  /** All bytes came before the time was over. */
  readonly isWhole: boolean
}

/** Two processes; gone when this has settled. */
export class Pair {
  readonly receiver: ChildProcess
  readonly sender: ChildProcess

  static async open(role: 'send' | 'ask', spec: RivalSpec, place: Place): Promise<Pair> {
    const env = spec.driver === undefined ? {} : { HOLDFAST_UDP: spec.driver }
    const text = JSON.stringify(spec)
    const options = { env, namespace: place.receiver }
    const bound = place.receiver === undefined ? place.host : '0.0.0.0'
    const receiver = forkChild(CHILD, ['serve', text, bound], options)
    const { port } = await heard<Word, 'ready'>(receiver, 'ready')
    const words = [role, text, place.host, String(port)]
    const sender = forkChild(CHILD, words, { env, namespace: place.sender })
    await heard<Word, 'ready'>(sender, 'ready')
    return new Pair(receiver, sender)
  }

  private constructor(receiver: ChildProcess, sender: ChildProcess) {
    this.receiver = receiver
    this.sender = sender
  }

  order(child: ChildProcess, order: Order): void {
    child.send(order)
  }

  /** What the receiver has by now. */
  report(): Promise<Extract<Word, { kind: 'received' }>> {
    const answer = heard<Word, 'received'>(this.receiver, 'received')
    this.order(this.receiver, { kind: 'report' })
    return answer
  }

  close(): Promise<void> {
    return end(this.sender, this.receiver)
  }
}

/** `bytes` after `warmUpBytes` that are not measured. Without warm-up the connect is measured too.
 * Given up after `secondsMax`; then what came by then counts. */
export async function transfer(
  spec: RivalSpec,
  place: Place,
  what: { bytes: number; warmUpBytes?: number; markBytes?: number; secondsMax?: number },
): Promise<Transfer> {
  const { bytes, warmUpBytes = 0, markBytes, secondsMax = 120 } = what
  const pair = await Pair.open('send', spec, place)
  try {
    pair.order(pair.receiver, { kind: 'take', warmUpBytes, markBytes })
    const received = heard<Word, 'received'>(pair.receiver, 'received')
    const sent = heard<Word, 'sent'>(pair.sender, 'sent')
    sent.catch(() => undefined)
    const startNs = Number(process.hrtime.bigint())
    pair.order(pair.sender, { kind: 'send', bytes: bytes + warmUpBytes, warmUpBytes })
    const cap = new AbortController()
    const capped = sleep(secondsMax * 1_000, null, { signal: cap.signal, ref: true })
    const whole = await Promise.race([received, capped]).finally(() => cap.abort())
    if (whole) return figures(whole, await sent, warmUpBytes)
    const partial = await Promise.race([pair.report(), sleep(REPORT_MS_MAX, null)])
    return cutOff(partial, startNs)
  } finally {
    await pair.close()
  }
}

type Received = Extract<Word, { kind: 'received' }>

function figures(
  received: Received,
  sent: Extract<Word, { kind: 'sent' }>,
  warmUpBytes: number,
): Transfer {
  const bytes = received.bytes - warmUpBytes
  const begun = received.begun ?? received.last
  const startNs = warmUpBytes > 0 ? begun.atNs : sent.dialled.atNs
  const seconds = (received.last.atNs - startNs) / 1e9
  const senderStart = warmUpBytes > 0 ? sent.begun : sent.dialled
  return {
    bytes,
    seconds,
    bitsPerSecond: (bytes * 8) / seconds,
    bitsPerSecondToMark: toMark(received, startNs) ?? (bytes * 8) / seconds,
    senderCpuPerGB: (sent.ended.cpuSeconds - senderStart.cpuSeconds) / (bytes / GB),
    receiverCpuPerGB: (received.last.cpuSeconds - begun.cpuSeconds) / (bytes / GB),
    wrongAt: received.wrongAt,
    isWhole: true,
  }
}

const toMark = (received: Received | null, startNs: number): number | null =>
  received?.mark ? (received.mark.bytes * 8e9) / (received.mark.atNs - startNs) : null

function cutOff(received: Received | null, startNs: number): Transfer {
  const bytes = received?.bytes ?? 0
  const seconds = ((received?.now.atNs ?? Number(process.hrtime.bigint())) - startNs) / 1e9
  return {
    bytes,
    seconds,
    bitsPerSecond: (bytes * 8) / seconds,
    bitsPerSecondToMark: toMark(received, startNs) ?? (bytes * 8) / seconds,
    senderCpuPerGB: Number.NaN,
    receiverCpuPerGB: Number.NaN,
    wrongAt: received?.wrongAt ?? null,
    isWhole: false,
  }
}
