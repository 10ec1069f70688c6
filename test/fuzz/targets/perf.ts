// test/fuzz/targets/perf.ts — does a stranger's order for a measurement read as one, or as no message?
import * as assert from 'node:assert/strict'
import {
  formatMessage,
  MessageReader,
  PING_ORDER,
  transferOrder,
} from '../../../src/perf/control.ts'
import { answerOf, type Target } from '../target.ts'

const order = transferOrder({ direction: 'forward', streams: 2, bytes: 1_000, seconds: null })
const link = {
  ...{ rttMs: 1.5, minRttMs: 1, lossRate: 0.01, retransmitRate: 0, mtuBytes: 1_472 },
  ...{ cipher: 'AES-256-GCM', crc: 'full', congestion: 'bbr', driver: 'plain' },
  ...{ limitedBy: 'flow' as const, wireBytesSent: 5, wireBytesReceived: 6 },
}
const report = { type: 'report', bytes: 9, wrongAt: null, agoMs: 0.5, cpuSeconds: 1, link } as const
const interval = { type: 'interval', bytes: 77, elapsedMs: 1_000 } as const

/** First byte: how long the pieces are in which the text comes. */
const control: Target = {
  name: 'perf-control',
  sizeBytesMax: 2_000,
  seeds: () => [
    Buffer.from(`\u0007${formatMessage(order)}${formatMessage({ type: 'stop' })}`),
    Buffer.from(`z${formatMessage(report)}${formatMessage(interval)}`),
    Buffer.from(`z${formatMessage(PING_ORDER)}`),
  ],
  run(input) {
    const text = input.subarray(1).toString('utf8')
    const stepLength = 1 + (input[0] ?? 0)
    return answerOf(
      () => {
        const reader = new MessageReader()
        const messages = []
        for (let at = 0; at < text.length; at += stepLength) {
          messages.push(...reader.take(text.slice(at, at + stepLength)))
        }
        return messages
      },
      (messages) => {
        const again = new MessageReader().take(messages.map(formatMessage).join(''))
        assert.deepEqual(again, messages)
        return messages.map(({ type }) => type).join(' ')
      },
    )
  },
}

export const perfTargets: readonly Target[] = [control]
