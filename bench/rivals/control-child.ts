// bench/rivals/control-child.ts — one end of a session that carries bulk and small requests at once
//
//   control-child.ts serve HOST
//   control-child.ts ask HOST PORT SETTLING_MS MEASURED_MS
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../protocol/index.ts'
import { answerRequests, Requester, type RequestFigures } from '../../src/perf/requests.ts'
import { openStreams } from '../../src/perf/serve.ts'
import { Receiving, Sending } from '../../src/perf/transfer.ts'
import { dialSession, openEndpoint } from './holdfast.ts'

export type ControlWord =
  | { kind: 'ready'; port: number }
  | { kind: 'asked'; requests: RequestFigures; bulkBitsPerSecond: number }

const BULK_BYTES = 2 ** 40

const say = (word: ControlWord): void => void process.send?.(word)

process.once('disconnect', () => process.exit(0)) // the parent is gone

const [role, host = '', port = '', settlingMs = '', measuredMs = ''] = process.argv.slice(2)
if (role === 'serve') await serve()
else await ask()

async function serve(): Promise<void> {
  const endpoint = await openEndpoint({ kind: 'holdfast' }, host, 'server')
  endpoint.onSession((session) => {
    const receiving = new Receiving(1, systemClock)
    session.onStream((stream) => {
      if (stream.writable) answerRequests(stream)
      else receiving.take(stream)
    })
  })
  say({ kind: 'ready', port: endpoint.local.port })
}

async function ask(): Promise<void> {
  const session = await dialSession({ kind: 'holdfast' }, host, Number(port))
  const until = { bytes: BULK_BYTES, untilMs: null }
  const bulk = new Sending(openStreams(session, 1), until, systemClock)
  const requester = new Requester(session.openStream({ urgency: 0 }), systemClock)
  await sleep(Number(settlingMs))
  const bytes = bulk.bytes
  const requests = await requester.ask(1, Number(measuredMs))
  const bulkBitsPerSecond = ((bulk.bytes - bytes) * 8) / requests.seconds
  say({ kind: 'asked', requests, bulkBitsPerSecond })
}
