// test/protocol/connection/hostile.test.ts — can a peer that breaks the rules crash, fill or spin us?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FRAME } from '../../../protocol/wire/frames.ts'
import { RawPeer } from './raw-peer.ts'

const test = suite('protocol: hostile peers')

test('packet numbers from the end of the range bring no process down', () => {
  for (const packetNumber of [2 ** 31, 2 ** 40, 2 ** 48 - 1, 2 ** 48, 2 ** 53, 2 ** 63]) {
    const peer = new RawPeer()
    const connection = peer.connect()
    peer.send((writer) => writer.u8(FRAME.ping), packetNumber)
    peer.send((writer) => writer.u8(FRAME.ping), 1_000)
    peer.pass(100)
    assert.is(connection.state, 'open')
  }
})

test('a packet that comes twice is no reason to wake up again and again', () => {
  const peer = new RawPeer()
  peer.connect()
  const packet = peer.makePacket((writer) => writer.u8(FRAME.ping))
  peer.deliver(packet)
  peer.turn()
  peer.pass(100)
  peer.deliver(packet)
  peer.turn()
  assert.ok(peer.pass(1_000) < 20, 'timeouts in a quiet second')
})

test('ACKs that come twice are not answered: two such ends would never be quiet', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.pass(1_000)
  const packet = peer.makePacket((writer) => writer.u8(FRAME.padding))
  peer.heard.length = 0
  for (let i = 0; i < 3; i += 1) peer.deliver(packet)
  peer.turn()
  assert.is(peer.heard.length, 0)
})

test('an ACK whose news are hours old still fits its field', () => {
  const peer = new RawPeer()
  peer.connect()
  for (let i = 0; i < 40; i += 1) peer.send((writer) => writer.u8(FRAME.ping))
  peer.heard.length = 0
  peer.deliver(peer.makePacket((writer) => writer.u8(FRAME.ping)))
  peer.nowMs += 2 * 3_600_000 // the process was stopped, and goes on with sending
  peer.transmit()
  assert.is(peer.heard.length, 1)
})

test.run()
