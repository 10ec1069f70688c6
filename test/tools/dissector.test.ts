// test/tools/dissector.test.ts — does Wireshark show what is in our packets?
import { createCipheriv } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCoreEndpoint } from '../../protocol/connection/endpoint.ts'
import { openKeyLog } from '../../protocol/key-log.ts'
import { packetCrc } from '../../protocol/wire/crc.ts'
import { PACKET } from '../../protocol/wire/header.ts'
import { chosenSeed, Random } from '../sim/random.ts'
import { goldenPacket } from '../support/golden-packets.ts'
import { identityOf } from '../support/identity.ts'
import { type Captured, dissect, whyNoTshark, writePcap } from '../support/pcap.ts'
import { testUnless } from '../support/skip.ts'

const seed = chosenSeed()
const test = suite(`Wireshark dissector, replay with SEED=${seed}`)
const withTshark = testUnless(test, whyNoTshark())
const SUITES = ['chacha20-poly1305', 'aes-256-gcm'] as const
let dir = ''
let capture = ''

test.before(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-dissector-'))
  capture = join(dir, 'capture.pcap')
})
test.after(() => rmSync(dir, { recursive: true, force: true }))

const show = (
  packets: readonly (Uint8Array | Captured)[],
  fields: readonly string[],
  keyLog: string | null = null,
): string[][][] => {
  const captured = packets.map((one) => ('bytes' in one ? one : { bytes: one, isFirst: true }))
  writePcap(capture, captured as Captured[])
  return dissect(capture, fields, keyLog)
}

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

interface Wish {
  readonly type?: number
  readonly dcid?: string
  readonly packetNumber?: number
  readonly phase?: number
  readonly crc?: 'full' | 'header'
  /** From byte 24 to the tag. */
  readonly body: Buffer
  readonly seal?: { suite: (typeof SUITES)[number]; key: Buffer; salt: Buffer }
}

/** One packet, by the words of the wire's description, not by the code that sends. */
function packetOf(wish: Wish): Buffer {
  const packet = Buffer.alloc(24 + wish.body.length + 16)
  packet[0] = 0x0b
  packet[1] = 0x20 | ((wish.type ?? PACKET.data) << 1) | (wish.phase ?? 0)
  packet.writeUInt16LE(packet.length, 2)
  packet.write(wish.dcid ?? '0102030405060708', 4, 'hex')
  packet.writeBigUInt64BE(BigInt(wish.packetNumber ?? 0), 16)
  wish.body.copy(packet, 24)
  if (wish.seal) sealInPlace(packet, wish.seal)
  packet.writeUInt32LE(packetCrc(packet, 0, packet.length, wish.crc ?? 'full'), 12)
  return packet
}

function sealInPlace(packet: Buffer, seal: NonNullable<Wish['seal']>): void {
  const plain = Buffer.from(packet.subarray(24, packet.length - 16))
  const size = Buffer.alloc(3)
  size.writeUInt16BE(plain.length, 1)
  const aad = Buffer.concat([packet.subarray(0, 2), packet.subarray(4, 12), size])
  const nonce = Buffer.concat([seal.salt, packet.subarray(16, 24)])
  const options = { authTagLength: 16 }
  const cipher = createCipheriv(seal.suite as 'chacha20-poly1305', seal.key, nonce, options)
  cipher.setAAD(aad, { plaintextLength: plain.length })
  cipher.update(plain).copy(packet, 24)
  cipher.final()
  cipher.getAuthTag().copy(packet, packet.length - 16)
}

function keyLogOf(lines: readonly string[]): string {
  const path = join(dir, 'keys.log')
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''))
  return path
}

const keyLine = (cid: string, phase: number, seal: NonNullable<Wish['seal']>): string =>
  `HOLDFAST_KEY ${cid} ${phase} ${seal.suite} ${seal.key.toString('hex')} ${seal.salt.toString('hex')}`

const GOLDEN = ['ChaCha20-Poly1305', 'AES-256-GCM'].map(goldenPacket)
const FRAME_FIELDS = [
  '_ws.col.Info',
  'holdfast.stream_id',
  'holdfast.offset',
  'holdfast.data_length',
  'holdfast.data',
]

withTshark('the golden packets of both suites open with their keys', () => {
  const [key, salt] = [Buffer.alloc(32, 1), Buffer.alloc(4, 2)]
  for (const [index, packet] of GOLDEN.entries()) {
    const line = keyLine('0102030405060708', 0, { suite: SUITES[index]!, key, salt })
    const [row] = show([packet], FRAME_FIELDS, keyLogOf([line]))
    const info = 'DATA 1: PING, STREAM+FIN 4 0+5'
    assert.equal(row, [[info], ['4'], ['0'], ['5'], [Buffer.from('hello').toString('hex')]])
  }
})

withTshark('without a key, with a wrong one, or with a forged tag only ciphertext is shown', () => {
  const [key, salt] = [Buffer.alloc(32, 3), Buffer.alloc(4, 2)]
  const wrong = keyLogOf(
    SUITES.map((suite) => keyLine('0102030405060708', 0, { suite, key, salt })),
  )
  const fields = ['_ws.col.Info', 'holdfast.ciphertext', 'holdfast.frame', 'holdfast.protection']
  for (const keyLog of [null, join(dir, 'not-there'), wrong]) {
    for (const [index, row] of show(GOLDEN, fields, keyLog).entries()) {
      const ciphertext = GOLDEN[index]!.toString('hex', 24, 43)
      assert.equal(row, [['DATA 1'], [ciphertext], [], ['closed: no key']])
    }
  }
  const seal = { suite: SUITES[0], key, salt }
  const forged = packetOf({ body: unhex('01'), seal })
  forged[forged.length - 1]! ^= 1
  forged.writeUInt32LE(packetCrc(forged, 0, forged.length, 'full'), 12)
  const log = keyLogOf([keyLine('0102030405060708', 0, seal)])
  assert.equal(show([forged], ['holdfast.frame'], log), [[[]]])
})

withTshark('packets of any size, key and phase open in both suites', () => {
  const random = new Random(seed, 'sealed')
  const lines: string[] = []
  const packets: Buffer[] = []
  const expected: string[] = []
  const sizes = [0, 1, 15, 16, 17, 63, 64, 65, 1_406, 9_000]
  for (let index = 0; index < 60; index += 1) {
    const dcid = Buffer.from(random.bytes(8)).toString('hex')
    const suite = SUITES[index % 2]!
    const size = sizes[index] ?? random.below(400)
    const data = Buffer.from(random.bytes(size))
    const head = unhex('08 07000000 0a0000000100 0000')
    head.writeUInt16LE(size, 11)
    const body = Buffer.concat([head, data])
    const phase = random.below(4)
    const packetNumber = random.below(2 ** 31) * 2 ** 16
    const seal = {
      suite,
      key: Buffer.from(random.bytes(32)),
      salt: Buffer.from(random.bytes(4)),
    }
    lines.push(keyLine(dcid, phase, seal))
    packets.push(packetOf({ dcid, packetNumber, phase: phase % 2, body, seal }))
    expected.push(`DATA ${packetNumber}: STREAM 7 4294967306+${size}|${data.toString('hex')}`)
  }
  const rows = show(packets, ['_ws.col.Info', 'holdfast.data'], keyLogOf(lines))
  assert.equal(
    rows.map(([info, data]) => `${info}|${data?.join('') ?? ''}`),
    expected,
  )
})

withTshark('a connection that goes on with a new CID, and with its next keys, stays open', () => {
  const seals = [1, 2, 3].map((fill) => ({
    suite: SUITES[0],
    key: Buffer.alloc(32, fill),
    salt: Buffer.alloc(4, fill),
  }))
  const lines = seals.map((seal, phase) => keyLine('aaaaaaaaaaaaaaaa', phase, seal))
  const packets = ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'].flatMap((dcid) =>
    seals.map((seal, phase) => packetOf({ dcid, phase: phase % 2, body: unhex('011e'), seal })),
  )
  const rows = show(packets, ['_ws.col.Info'], keyLogOf(lines))
  assert.equal(
    rows.map(([info]) => info),
    packets.map(() => ['DATA 0: PING, HANDSHAKE_DONE']),
  )
})

withTshark('every frame type is shown with its fields', () => {
  const varint = '8000abcd' // 43981
  const cases: [hex: string, info: string, fields: Record<string, string>][] = [
    ['000000', 'PADDING', { frame: '0x00' }],
    ['01', 'PING', { frame: '0x01' }],
    [
      '02 0a0000000100 e8030000 02 03 01 02',
      'ACK 4294967303-4294967306 4294967298-4294967300',
      { largest: '4294967306', delay_us: '1000', ranges: '2' },
    ],
    [
      `03 01 4002 ${varint} 03`,
      'ACK_FREQUENCY',
      { sequence: '1', threshold: '2', max_delay: '43981', reorder: '3' },
    ],
    ['04', 'IMMEDIATE_ACK', {}],
    ['08 04000000 050000000000 0200 6869', 'STREAM 4 5+2', { stream_id: '4', data: '6869' }],
    ['09 04000000 070000000000 0000', 'STREAM+FIN 4 7+0', { offset: '7', data_length: '0' }],
    [`0a 04000000 ${varint} 090000000000`, 'RESET_STREAM 4 code 43981', { final_size: '9' }],
    ['0b 05000000 07', 'STOP_SENDING 5 code 7', { stream_id: '5', code: '7' }],
    ['10 000000000001', 'MAX_DATA 1099511627776', { limit: '1099511627776' }],
    ['11 04000000 050000000000', 'MAX_STREAM_DATA 4 5', { stream_id: '4', limit: '5' }],
    ['12 01 00010000', 'MAX_STREAMS 256', { direction: '1', limit: '256' }],
    ['13 050000000000', 'DATA_BLOCKED 5', { limit: '5' }],
    ['14 04000000 050000000000', 'STREAM_DATA_BLOCKED 4 5', { stream_id: '4' }],
    ['15 00 05000000', 'STREAMS_BLOCKED 5', { direction: '0', limit: '5' }],
    ['18 0102030405060708', 'PATH_CHALLENGE', { data: '0102030405060708' }],
    ['19 0102030405060709', 'PATH_RESPONSE', { data: '0102030405060709' }],
    [
      `1a 03 02 c1c2c3c4c5c6c7c8 ${'77'.repeat(16)}`,
      'NEW_CID',
      { sequence: '3', retire: '2', new_cid: 'c1c2c3c4c5c6c7c8', reset_token: '77'.repeat(16) },
    ],
    ['1b 03', 'RETIRE_CID', { sequence: '3' }],
    ['1c 0a 08 0300 627965', 'CLOSE code 10', { code: '10', frame_type: '8', text: 'bye' }],
    ['1d 00 0000', 'CLOSE (application) code 0', { code: '0', data_length: '0' }],
    ['1e', 'HANDSHAKE_DONE', {}],
    ['20 0200 6869', 'DATAGRAM', { data: '6869' }],
    ['21 08000000', 'DRAIN', { last_stream: '8' }],
    ['22 04000000 05 01', 'STREAM_PRIORITY 4', { urgency: '5', incremental: '1' }],
  ]
  const names = [...new Set(cases.flatMap(([, , fields]) => Object.keys(fields)))]
  const packets = cases.map(([hex]) => packetOf({ body: unhex(`${hex}01`) }))
  const columns = names.map((name) => `holdfast.${name}`)
  const rows = show(packets, ['_ws.col.Info', ...columns])
  for (const [index, [hex, info, fields]] of cases.entries()) {
    const row = rows[index]!
    assert.equal(row[0], [`DATA 0: ${info}, PING`], hex)
    for (const [name, value] of Object.entries(fields)) {
      assert.is(row[1 + names.indexOf(name)]![0], value, `${info}: ${name}`)
    }
  }
})

withTshark('frames that cannot be read are marked, and those before them shown', () => {
  const bodies = ['01 08 04000000 00', '01 ff', '01 03 c0', '01 02 0500 ']
  const packets = bodies.map((body) => packetOf({ body: unhex(body) }))
  const rows = show(packets, ['_ws.col.Info', 'holdfast.bad_frame'])
  for (const [info, expert] of rows) {
    assert.equal(info, ['DATA 0: PING, ?'])
    assert.is(expert!.length, 1)
  }
})

withTshark('the packets of every type that the page shows', () => {
  const path = join(dir, 'golden.keys')
  const names = ['HELLO', 'RETRY', 'ACCEPT', 'DATA', 'VERSIONS', 'RESET', 'REFUSED']
  const packets = names.map(goldenPacket)
  logGoldenKeys(path)
  const parts = ['token', 'ephemeral', 'offered', 'reset_token', 'reason', 'mac1', 'tag']
  const fields = ['type', 'dcid', 'scid', ...parts].map((name) => `holdfast.${name}`)
  const rows = show(packets, ['_ws.col.Info', ...fields], path)
  const [ten, eleven] = [['0a'.repeat(8)], ['0b'.repeat(8)]]
  const none: string[] = []
  const last16 = (index: number): string[] => [packets[index]!.toString('hex').slice(-32)]
  const e = (index: number, at: number): string[] => [packets[index]!.toString('hex', at, at + 32)]
  assert.equal(rows, [
    [['HELLO'], ['0'], ten, ten, none, e(0, 35), none, none, none, last16(0), none],
    [['RETRY'], ['1'], ten, eleven, ['746f6b656e'], none, none, none, none, none, last16(1)],
    [['ACCEPT'], ['2'], ten, eleven, none, e(2, 34), none, none, none, none, none],
    [
      ['DATA 657930: PING, STREAM+FIN 0 0+5'],
      ...[['3'], eleven, none, none, none, none, none, none, none, last16(3)],
    ],
    [['VERSIONS'], ['4'], ten, ten, none, none, ['1'], none, none, none, none],
    [['RESET'], ['5'], eleven, none, none, none, none, ['ee'.repeat(16)], none, none, none],
    [
      ['REFUSED: busy'],
      ...[['6'], ten, ['00'.repeat(8)], none, none, none, none, ['1'], none, last16(6)],
    ],
  ])
})

/** The initiator of the page's session learns its keys from the page's ACCEPT. */
function logGoldenKeys(path: string): void {
  const keys = openKeyLog(path)
  const client = createCoreEndpoint({
    identity: identityOf(1),
    random: (lengthBytes) => new Uint8Array(lengthBytes).fill(0x0a),
    onKeys: keys.write,
  })
  const to = { host: '10.0.0.2', port: 2 }
  const connection = client.connect(0, { ...to, publicKey: identityOf(2).publicKey })
  client.handleDatagram(1, goldenPacket('ACCEPT'), to)
  assert.is(connection.state, 'open')
  keys.close()
}

withTshark('a token before the Noise message, two versions and a cut message', () => {
  const long = (type: number, rest: string): Buffer =>
    packetOf({ type, body: unhex(`a1a2a3a4a5a6a7a8 ${rest}`) })
  const [e, key, sealed] = ['ee'.repeat(32), 'cc'.repeat(48), 'dd'.repeat(20)]
  const packets = [
    long(PACKET.hello, `02 7071 6400 ${e} ${key} ${sealed} ${'00'.repeat(100)}`),
    long(PACKET.versions, `02 0103 ${'00'.repeat(15)}`),
    long(PACKET.accept, `4000 ${e}`),
  ]
  const names = ['token', 'ephemeral', 'static', 'payload', 'offered', 'bad_frame']
  const rows = show(
    packets,
    names.map((name) => `holdfast.${name}`),
  )
  const none: string[] = []
  assert.equal(rows.slice(0, 2), [
    [['7071'], [e], [key], [sealed], none, none],
    [none, none, none, none, ['1', '3'], none],
  ])
  assert.is(rows[2]![5]!.length, 1)
})

withTshark('a datagram of many packets is shown whole, a damaged one among them marked', () => {
  const packets = [1, 2, 3, 4].map((packetNumber) =>
    packetOf({ packetNumber, body: unhex('0101'), crc: packetNumber === 4 ? 'header' : 'full' }),
  )
  packets[1]![24]! ^= 0x40
  const badLength = packetOf({ packetNumber: 5, body: unhex('0101') })
  badLength.writeUInt16LE(7, 2)
  const last = packetOf({ packetNumber: 6, body: unhex('01') })
  const datagram = Buffer.concat([...packets, badLength, last])
  const [row] = show([datagram], ['_ws.col.Info', 'holdfast.crc_status'])
  const shown = ['DATA 1: PING, PING', 'DATA (bad CRC)', 'DATA 3: PING, PING', 'DATA 4: PING, PING']
  assert.equal(row, [[[...shown, 'DATA 6: PING'].join(' | ')], ['1', '0', '1', '2', '1']])
})

withTshark('other protocols are left alone', () => {
  const looksLike = packetOf({ body: unhex('01') })
  looksLike[12]! ^= 1
  const others = [looksLike, Buffer.from('hello'), Buffer.alloc(60, 0x0b), Buffer.alloc(0)]
  const rows = show(others, ['frame.protocols', 'holdfast.type'])
  for (const [protocols, type] of rows) {
    assert.not.match(protocols!.join(), 'holdfast')
    assert.equal(type, [])
  }
})

test.run()
