// test/tools/dissector-connection.test.ts — does Wireshark open what real connections send?
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openKeyLog } from '../../protocol/key-log.ts'
import { aes256Gcm } from '../../protocol/protection/aes-256-gcm.ts'
import { chacha20Poly1305 } from '../../protocol/protection/chacha20-poly1305.ts'
import type { QlogFrame } from '../../protocol/qlog/frames.ts'
import { PACKET } from '../../protocol/wire/header.ts'
import { Stage, typeOf } from '../protocol/scenarios/stage.ts'
import { Random } from '../sim/random.ts'
import { capturing, portsOf } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import { type Captured, dissect, whyNoCapture, whyNoTshark, writePcap } from '../support/pcap.ts'
import { memoryQlog, readQlog } from '../support/qlog-records.ts'
import { testUnless } from '../support/skip.ts'

const seed = Number(process.env.SEED ?? 11)
const test = suite(`Wireshark dissector and connections, replay with SEED=${seed}`)
const withTshark = testUnless(test, whyNoTshark())
const withCapture = testUnless(test, whyNoTshark() ?? whyNoCapture())
const FILE_BYTES = 300_000
const SERVERS = 2
/** A straggler to an end that has forgotten the connection is answered with RESET. */
const NAMES: Readonly<Record<number, string>> = {
  [PACKET.hello]: 'HELLO',
  [PACKET.accept]: 'ACCEPT',
  [PACKET.reset]: 'RESET',
}
let dir = ''

test.before(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-dissector-'))
})
test.after(() => rmSync(dir, { recursive: true, force: true }))

/** The words of the list of packets for a frame, from what the qlog says of it. */
function wordsOf(frame: QlogFrame): string {
  const { frame_type: type, stream_id, offset, length, fin } = frame
  if (type === 'stream') return `STREAM${fin ? '+FIN' : ''} ${stream_id} ${offset}+${length}`
  if (type === 'ack') {
    const ranges = frame.acked_ranges as [number, number][]
    return `ACK ${ranges.map(([low, high]) => `${low}-${high}`).join(' ')}`
  }
  if (type === 'max_data') return `MAX_DATA ${frame.maximum}`
  if (type === 'max_stream_data') return `MAX_STREAM_DATA ${stream_id} ${frame.maximum}`
  if (type === 'data_blocked') return `DATA_BLOCKED ${frame.limit}`
  if (type === 'stream_data_blocked') return `STREAM_DATA_BLOCKED ${stream_id} ${frame.limit}`
  if (type === 'new_connection_id') return 'NEW_CID'
  if (type === 'retire_connection_id') return 'RETIRE_CID'
  if (type !== 'connection_close') return type.toUpperCase()
  return `CLOSE${frame.error_space === 'application' ? ' (application)' : ''} code ${frame.error_code}`
}

for (const cipher of [chacha20Poly1305, aes256Gcm]) {
  withTshark(
    `${cipher.name}: a connection with loss and new keys is shown as the qlog has it`,
    () => {
      const path = join(dir, `${cipher.name}.keys`)
      const [client, server] = [memoryQlog(), memoryQlog()]
      const keys = openKeyLog(path)
      const common = { suites: [cipher], onKeys: keys.write, packetsPerKeyMax: 50 }
      const stage = new Stage(seed, {
        link: { rateMbit: 50, delayMs: 5, lossRatio: 0.03 },
        client: { endpoint: { ...common, log: client.log } },
        server: { endpoint: { ...common, log: server.log } },
      })
      const captured = captureOf(stage)
      stage.transfer(stage.connect(), 200_000, 60_000)
      stage.world.finish()
      keys.close()
      const sent = [server, client].map(({ texts }) => sentIn([...texts.values()].flat().join('')))
      const fields = ['_ws.col.Info', 'holdfast.crc_status', 'udp.srcport', 'holdfast.protection']
      writePcap(join(dir, 'capture.pcap'), captured)
      const rows = dissect(join(dir, 'capture.pcap'), fields, path)
      assert.is(rows.length, captured.length)
      const phases = new Set<number>()
      for (const [index, { bytes, isFirst }] of captured.entries()) {
        const packet = bytes as Buffer
        const [[info], status, port, protection] = rows[index] as [string[], ...string[][]]
        assert.equal([status, port], [['1'], [isFirst ? '47301' : '47302']])
        if (typeOf(packet) !== PACKET.data) {
          assert.is(info, NAMES[typeOf(packet)])
          continue
        }
        const number = Number(packet.readBigUInt64BE(16))
        const frames = sent[Number(isFirst)]!.get(number)!
        assert.is(info, `DATA ${number}: ${frames.map(wordsOf).join(', ')}`)
        assert.equal(protection, ['opened, the tag is right'])
        phases.add(packet[1]! & 1)
      }
      assert.ok(captured.length > 150, `${captured.length} packets`)
      assert.is(phases.size, 2, 'new keys')
      assert.match(readFileSync(path, 'utf8'), / 2 /, 'and newer ones')
      assert.ok(stage.world.report().dropped > 0, 'its trouble')
    },
  )
}

withCapture('HOLDFAST_KEYLOG opens a captured backup, and nobody else\u2019s packets', async () => {
  const [capture, keyLog, file] = ['backup.pcap', 'backup.keys', 'file'].map((n) => join(dir, n))
  writeFileSync(file!, new Random(seed, 'file').bytes(FILE_BYTES))
  const cluster = await Cluster.start({ servers: SERVERS })
  try {
    const dumpcap = await capturing(capture!, portsOf(cluster))
    const backup = await cluster.run(['backup', file!], { HOLDFAST_KEYLOG: keyLog! })
    assert.is(backup.exitCode, 0, backup.stderr)
    await cluster.status() // on connections of its own, whose keys nobody keeps
    dumpcap.kill('SIGINT')
    await once(dumpcap, 'exit')
  } finally {
    await cluster.stop()
  }
  const cids = new Set(readFileSync(keyLog!, 'utf8').match(/(?<=^HOLDFAST_KEY )\S+/gm))
  const fields = ['holdfast.dcid', 'holdfast.protection', 'holdfast.data_length']
  const counts = { opened: 0, closed: 0, streamBytes: 0 }
  for (const [dcids, protections, lengths] of dissect(capture!, fields, keyLog!)) {
    if (protections!.length === 0) continue // a handshake
    const isOurs = cids.has(dcids![0]!)
    const word = isOurs ? 'opened, the tag is right' : 'closed: no key'
    // The capture has a train before the kernel cuts it: many packets in one datagram.
    assert.ok(new Set(dcids).size === 1 && protections!.every((said) => said === word), word)
    counts[isOurs ? 'opened' : 'closed'] += protections!.length
    for (const length of lengths!) counts.streamBytes += Number(length)
  }
  console.log(`  ${JSON.stringify(counts)}`)
  assert.ok(counts.streamBytes >= FILE_BYTES, 'the file went by')
  assert.ok(counts.closed > 0, 'there were others')
  const closed = dissect(capture!, ['holdfast.frame'])
  assert.ok(
    closed.every(([frames]) => frames!.length === 0),
    'without the key log nothing',
  )
})

/** dumpcap on the loopback, once it has begun. */
function captureOf({ up, down }: Stage): Captured[] {
  const captured: Captured[] = []
  const tap = (isFirst: boolean) => (packet: Uint8Array) => {
    captured.push({ bytes: Buffer.from(packet), isFirst })
    return false
  }
  up.options.drop = tap(true)
  down.options.drop = tap(false)
  return captured
}

/** The frames of each DATA packet that this end sent, by its number. */
function sentIn(text: string): Map<number, QlogFrame[]> {
  const { events } = readQlog(text)
  const sent = events.filter(
    ({ name, data }) => name === 'transport:packet_sent' && data.header.packet_type === '1RTT',
  )
  return new Map(sent.map(({ data }) => [data.header.packet_number, data.frames]))
}

test.run()
