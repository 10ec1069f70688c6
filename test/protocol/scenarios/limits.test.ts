// test/protocol/scenarios/limits.test.ts — is it told why a transfer is not faster?
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import type { LimitedMs } from '../../../protocol/types.ts'
import { MIB, runScenarios, type Scenario } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }

/** The reason that held for longest, and that all reasons together are the time that passed. */
function longest(connection: Connection, forMs: number): keyof LimitedMs {
  const times = Object.entries(connection.stats().limitedMs) as [keyof LimitedMs, number][]
  const totalMs = times.reduce((sum, [, ms]) => sum + ms, 0)
  assert.ok(Math.abs(totalMs - forMs) < forMs / 10, `${totalMs} of ${forMs} ms are accounted for`)
  return times.reduce((a, b) => (b[1] > a[1] ? b : a))[0]
}

const scenarios: Scenario[] = [
  {
    name: 'a link that is full: the window or the pacing',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 32 * MIB })
      stage.waitFor('32 MiB', () => flow.doneMs !== null, 30_000)
      assert.match(longest(connection, stage.nowMs), /congestion|pacing/)
    },
    happened: ({ sentBytes }) => sentBytes > 32 * MIB,
  },
  {
    name: 'a reader with a small window: flow control',
    link: LINK,
    server: {
      endpoint: {
        limits: {
          streamWindowBytes: 20_000,
          streamWindowBytesMax: 20_000,
          connectionWindowBytes: 40_000,
          connectionWindowBytesMax: 40_000,
        },
      },
    },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 2 * MIB })
      stage.waitFor('2 MiB', () => flow.doneMs !== null, 30_000)
      assert.is(longest(connection, stage.nowMs), 'flow')
    },
    happened: (_, stage) => stage.nowMs > 1_000,
  },
  {
    name: 'a program that writes little: the program',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      for (let time = 0; time < 50; time += 1) {
        stage.send(connection, { totalBytes: 10_000 })
        stage.world.run(100)
      }
      assert.is(longest(connection, stage.nowMs), 'application')
    },
    happened: ({ sentBytes }) => sentBytes > 500_000,
  },
]

runScenarios('what limits', scenarios)
