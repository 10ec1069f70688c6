// test/protocol/scenarios/moving.test.ts — does a session survive its NAT, new keys, and a peer that forgot it?
import * as assert from 'uvu/assert'
import { aes256Gcm } from '../../../protocol/protection/aes-256-gcm.ts'
import { chacha20Poly1305 } from '../../../protocol/protection/chacha20-poly1305.ts'
import type { Suite } from '../../../protocol/protection/suite.ts'
import { MIB, runScenarios, type Scenario, type Stage } from './stage.ts'

const LOSSY = { rateMbit: 100, delayMs: 10, queueBytes: 400_000, lossRatio: 0.02 }
const ROUND_TRIP_MS = 20

/** Sends in the background; `during` runs in the middle of it. */
function sendAcross(stage: Stage, during: () => void): void {
  const connection = stage.connect()
  const flow = stage.send(connection, { totalBytes: 4 * MIB })
  const half = (): boolean => stage.server.receivedBytes > 2 * MIB
  stage.waitFor('half of it', half, 10_000)
  during()
  stage.waitFor('all of it', () => flow.doneMs !== null, 20_000)
  assert.is(stage.server.receivedBytes, 4 * MIB)
}

/** The longest time in which the server read nothing, while `wait` ran. */
function longestGapMs(stage: Stage, isDone: () => boolean): number {
  let bytes = stage.server.receivedBytes
  let sinceMs = stage.nowMs
  let longestMs = 0
  stage.waitFor(
    'the rest',
    () => {
      if (stage.server.receivedBytes > bytes) {
        longestMs = Math.max(longestMs, stage.nowMs - sinceMs)
        bytes = stage.server.receivedBytes
        sinceMs = stage.nowMs
      }
      return isDone()
    },
    20_000,
  )
  return longestMs
}

function rebinding(
  name: string,
  to: { host?: string; port?: number },
  lossRatio: number,
): Scenario {
  return {
    name,
    link: { ...LOSSY, lossRatio },
    act: (stage) => {
      const before = stage.client.host.address
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 4 * MIB })
      stage.waitFor('a part of it', () => stage.server.receivedBytes > MIB, 10_000)
      stage.world.rebind(stage.client, to)
      const gapMs = longestGapMs(stage, () => stage.server.receivedBytes > 3 * MIB)
      // A lost packet may cost a probe timeout more.
      const allowedMs = (lossRatio > 0 ? 10 : 3) * ROUND_TRIP_MS + 10
      assert.ok(gapMs < allowedMs, `${gapMs} ms without a byte`)
      const strayBefore = stage.world.strayBytes.get(`${before.host}:${before.port}`) ?? 0
      stage.waitFor('all of it', () => flow.doneMs !== null, 20_000)
      const stray = stage.world.strayBytes.get(`${before.host}:${before.port}`) ?? 0
      assert.is(stray, strayBefore, 'the old address hears nothing any more')
      const { remote } = stage.server.connections[0]!
      assert.equal(remote, { ...before, ...to })
    },
    happened: (report, stage) =>
      report.sent > 1_000 && stage.server.connections[0]!.remote !== stage.client.host.address,
  }
}

function keyUpdates(name: string, suite: Suite, both: boolean): Scenario {
  const phases = new Set<string>()
  const endpoint = {
    suites: [suite],
    packetsPerKeyMax: 100,
    congestion: 'newreno' as const, // slow at this loss: each new key takes a round trip
    onKeys: ({ phase }: { phase: number }) => void phases.add(`client ${phase}`),
  }
  const server = both ? { suites: [suite], packetsPerKeyMax: 100 } : { suites: [suite] }
  return {
    name,
    link: { ...LOSSY, reorderRatio: 0.05, reorderMs: 5 },
    client: { endpoint },
    server: { endpoint: server },
    act: (stage) => sendAcross(stage, () => {}),
    happened: (report) => phases.size > 20 && report.dropped > 10 && report.reordered > 10,
  }
}

const scenarios: Scenario[] = [
  rebinding(
    'the NAT gives the client another port in the middle of a transfer',
    { port: 9_999 },
    0,
  ),
  rebinding('… on a link that loses 2 %', { port: 9_998 }, 0.02),
  rebinding('the client gets another address in the middle of a transfer', { host: '10.9.9.9' }, 0),
  {
    name: 'a quiet client moves: a small request from the new address is answered there',
    server: { endpoint: { mtuBytes: 65_507 } },
    client: { endpoint: { mtuBytes: 65_507 } },
    act: (stage) => {
      stage.server.answerBytes = () => 300_000
      const connection = stage.connect()
      stage.world.run(5_000)
      stage.world.rebind(stage.client, { port: 9_990 })
      stage.send(connection, { totalBytes: 100 })
      stage.waitFor('the answer', () => stage.client.receivedBytes === 300_000, 500)
      assert.is(stage.server.connections[0]!.remote.port, 9_990)
    },
    happened: (_report, stage) => stage.client.receivedBytes === 300_000,
  },
  {
    name: 'the NAT changes its mind three times',
    link: LOSSY,
    act: (stage) =>
      sendAcross(stage, () => {
        for (const port of [9_001, 9_002, 9_003]) {
          stage.world.rebind(stage.client, { port })
          stage.world.run(60)
        }
      }),
    happened: (_report, stage) => stage.server.connections[0]!.remote.port === 9_003,
  },
  {
    name: 'an overheard packet sent on from a false address: three times its bytes, no more',
    link: LOSSY,
    act: (stage) => {
      const victim = { host: '10.66.66.66', port: 6_666 }
      let copied = 0
      sendAcross(stage, () => {
        // Overtakes the original, so that the server sees the false address first.
        stage.up.options.drop = (packet) => {
          if (copied === 0) {
            copied = packet.length
            stage.world.inject(stage.server, packet.slice(), victim)
          }
          return false
        }
        stage.world.run(500)
      })
      const received = stage.world.strayBytes.get('10.66.66.66:6666') ?? 0
      assert.ok(received <= 3 * copied, `${received} bytes for ${copied}`)
    },
    happened: (_report, stage) => (stage.world.strayBytes.get('10.66.66.66:6666') ?? 0) > 0,
  },
  keyUpdates('new keys every 100 packets, ChaCha20-Poly1305', chacha20Poly1305, false),
  keyUpdates('new keys every 100 packets, AES-256-GCM', aes256Gcm, false),
  keyUpdates('new keys every 100 packets from both sides at once', chacha20Poly1305, true),
]

runScenarios('moving', scenarios)
