// src/perf/control.ts — what do the two ends of a measurement tell each other, and how?
//
// One JSON object per line, on a stream of its own with urgency 0: it does not wait behind what is
// measured.
import type { Duplex } from 'node:stream'
import { z } from 'zod'
import { HoldfastError } from '../errors.ts'

/** Of these messages; both ends must speak the same. */
const VERSION = 1
export const STREAMS_MAX = 64
/** A day. */
export const SECONDS_MAX = 86_400
/** No message comes near. */
const LINE_BYTES_MAX = 4_096

const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const figure = z.number().nullable()
const name = z.string().max(40)

const TransferOrder = z.strictObject({
  type: z.literal('transfer'),
  version: z.literal(VERSION),
  /** Who sends: the end that dialled (`forward`) or the one that serves. */
  direction: z.enum(['forward', 'reverse']),
  streams: z.int().min(1).max(STREAMS_MAX),
  /** Of all streams together; or null, and `seconds` says when to stop. */
  bytes: z.int().min(1).nullable(),
  seconds: z.number().positive().max(SECONDS_MAX).nullable(),
})

const LIMITS = ['congestion', 'pacing', 'flow', 'application', 'cpu'] as const

/** What the sender's transport says of the link. */
const LinkFigures = z.strictObject({
  rttMs: count,
  minRttMs: count,
  /** Packets lost of those sent, and payload sent again of all that was sent. */
  lossRate: count,
  retransmitRate: count,
  mtuBytes: count,
  /** In use: names for people. */
  cipher: name,
  crc: name,
  congestion: name,
  driver: name,
  /** What kept the sender from sending more, most of the time. */
  limitedBy: z.enum(LIMITS),
  /** UDP payload, both ways. */
  wireBytesSent: count,
  wireBytesReceived: count,
})

const MESSAGE = z.discriminatedUnion('type', [
  TransferOrder,
  z.strictObject({ type: z.literal('ping'), version: z.literal(VERSION) }),
  /** Enough: report what there is. */
  z.strictObject({ type: z.literal('stop') }),
  /** The receiver, each second: bytes so far, after so many milliseconds of its time. */
  z.strictObject({ type: z.literal('interval'), bytes: count, elapsedMs: count }),
  /** The serving end's, when all is over. */
  z.strictObject({
    type: z.literal('report'),
    /** Delivered to it, or sent by it. */
    bytes: count,
    wrongAt: figure,
    /** How long ago the last byte came or went, milliseconds. */
    agoMs: count,
    /** Of the whole process; null when it measured for others meanwhile. */
    cpuSeconds: figure,
    link: LinkFigures,
  }),
])

export type Message = z.infer<typeof MESSAGE>
export type TransferOrder = z.infer<typeof TransferOrder>
export type Report = Extract<Message, { type: 'report' }>
export type LinkFigures = z.infer<typeof LinkFigures>

export const transferOrder = (what: Omit<TransferOrder, 'type' | 'version'>): TransferOrder => ({
  type: 'transfer',
  version: VERSION,
  ...what,
})

export const PING_ORDER = { type: 'ping', version: VERSION } as const satisfies Message

/** Messages to and from the other end. */
export class Control {
  readonly #stream: Duplex

  /** `handle` gets each message; `fail` hears once of a stream that broke or of a message that is
   * none (INVALID_REQUEST). */
  constructor(
    stream: Duplex,
    { handle, fail }: { handle: (message: Message) => void; fail: (error: Error) => void },
  ) {
    this.#stream = stream
    const reader = new MessageReader()
    let isOver = false
    const give = (error: Error): void => {
      if (isOver) return
      isOver = true
      fail(error)
    }
    stream.setEncoding('utf8')
    stream.on('data', (part: string) => {
      if (isOver) return
      try {
        for (const message of reader.take(part)) handle(message)
      } catch (error) {
        give(error as Error)
      }
    })
    stream.on('error', give)
    stream.on('end', () => give(new HoldfastError('UNREACHABLE', 'the other end stopped')))
  }

  send(message: Message): void {
    if (this.#stream.writable) this.#stream.write(formatMessage(message))
  }

  end(): void {
    this.#stream.end()
  }
}

export const formatMessage = (message: Message): string => `${JSON.stringify(message)}\n`

/** Cuts what comes into messages. */
export class MessageReader {
  #text = ''

  /** The messages that are whole now. Throws INVALID_REQUEST for a line that is none, or is longer
   * than any. */
  take(part: string): Message[] {
    const lines = (this.#text + part).split('\n')
    this.#text = lines.pop() ?? ''
    if (this.#text.length > LINE_BYTES_MAX) throw notUnderstood()
    return lines.map(parse)
  }
}

function parse(line: string): Message {
  try {
    return MESSAGE.parse(JSON.parse(line))
  } catch {
    throw notUnderstood()
  }
}

const notUnderstood = (): HoldfastError =>
  new HoldfastError(
    'INVALID_REQUEST',
    'the other end says what this one does not understand; run the same version of holdfast there',
  )
