// test/manager/placement.test.ts — is the load spread, and are full or dead servers left alone?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Claims } from '../../src/manager/claims.ts'
import { type Load, type Member, Membership } from '../../src/manager/membership.ts'
import { place } from '../../src/manager/placement.ts'
import { prng } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`manager: placement and membership, replay with SEED=${seed}`)
const GIB = 2 ** 30
const LIMITS = { reserveBytes: GIB }
const TIMING = { heartbeatMs: 2_000, suspectAfterMissed: 5, deadMs: 600_000 }

const loadOf = (changes: Partial<Load> = {}): Load => ({
  usedBytes: 0,
  freeBytes: 100 * GIB,
  blobs: 0,
  active: 0,
  readOnly: false,
  ...changes,
})

function membersOf(loads: Load[], hosts?: string[]): { membership: Membership; members: Member[] } {
  const membership = new Membership(TIMING, 0, [])
  const members = loads.map((load, index) => {
    const number = index + 1
    const host = hosts?.[index] ?? '127.0.0.1'
    const server = { number, name: `s${number}`, host, port: 1, publicKey: `${number}` }
    return membership.register(server, load, 0)
  })
  return { membership, members }
}

test('after 1 GB in blobs of 4 MiB no server holds more than 1.3 times another', () => {
  const random = prng(seed)
  const { members } = membersOf([loadOf(), loadOf(), loadOf(), loadOf()])
  for (let blob = 0; blob < 256; blob += 1) {
    const wish = { sizeBytes: 4 * 2 ** 20, exclude: [] as number[], nowMs: 0 }
    const primary = place(members, wish, LIMITS, random)
    assert.ok(primary)
    primary.assignedBytes += wish.sizeBytes
    const other = { ...wish, exclude: [primary.number], otherHost: primary.host }
    const backup = place(members, other, LIMITS, random)
    assert.ok(backup && backup !== primary)
    backup.assignedBytes += wish.sizeBytes
  }
  const held = members.map((member) => member.assignedBytes)
  assert.ok(Math.max(...held) <= 1.3 * Math.min(...held), held.join(' '))
})

test('no blob goes to a server that is full, read-only, excluded or just failed somebody', () => {
  const random = prng(seed)
  const { members } = membersOf([
    loadOf({ freeBytes: GIB }),
    loadOf({ readOnly: true }),
    loadOf(),
    loadOf(),
    loadOf(),
  ])
  const [, , third, fourth, fifth] = members
  assert.ok(third && fourth && fifth)
  fourth.avoidedUntilMs = 100
  for (let round = 0; round < 50; round += 1) {
    const wish = { sizeBytes: 1000, exclude: [fifth.number], nowMs: 50 }
    assert.is(place(members, wish, LIMITS, random), third)
  }
  const last = { sizeBytes: 1000, exclude: [third.number, fifth.number], nowMs: 50 }
  assert.is(place(members, last, LIMITS, random), fourth, 'better a doubtful one than none')
  const none = { ...last, exclude: [3, 4, 5] }
  assert.is(place(members, none, LIMITS, random), null)
})

test('both copies on one host only where there is no other host', () => {
  const random = prng(seed)
  const { members } = membersOf([loadOf(), loadOf(), loadOf()], ['attic', 'attic', 'cellar'])
  for (let round = 0; round < 50; round += 1) {
    const wish = { sizeBytes: 1000, exclude: [1], otherHost: 'attic', nowMs: 0 }
    assert.is(place(members, wish, LIMITS, random)?.host, 'cellar')
  }
  const [, , cellar] = members
  assert.ok(cellar)
  cellar.avoidedUntilMs = 100 // it failed somebody: no reason to keep both copies in the attic
  const wish = { sizeBytes: 1000, exclude: [1], otherHost: 'attic', nowMs: 0 }
  assert.is(place(members, wish, LIMITS, random), cellar)
  const alone = { sizeBytes: 1000, exclude: [1, 3], otherHost: 'attic', nowMs: 0 }
  assert.is(place(members, alone, LIMITS, random)?.number, 2)
})

test('silence makes a server suspect, then dead, and a sign of life brings it back', () => {
  const { membership, members } = membersOf([loadOf(), loadOf()])
  const [first] = members
  assert.ok(first)
  assert.is(membership.state(first, 9_999), 'up')
  assert.is(membership.state(first, 10_000), 'suspect')
  assert.equal(membership.live(10_000), [1, 2], 'copies on a suspect server still count')
  assert.is(membership.state(first, 600_000), 'dead')
  membership.heartbeat(2, loadOf(), 599_000)
  assert.equal(membership.live(600_000), [2])
  membership.heartbeat(1, loadOf(), 600_001)
  assert.is(membership.state(first, 600_001), 'up')
})

test('one backup sends a chunk that two want, and the other takes over when nothing comes', () => {
  const claims = new Claims(10_000)
  claims.handleActivity('a', 0)
  claims.handleActivity('b', 0)
  assert.is(claims.claim('r', 'x', 'a', 0), 'send')
  assert.is(claims.claim('r', 'x', 'b', 1), 'wait')
  assert.is(claims.claim('other repository', 'x', 'b', 1), 'send')
  claims.handleActivity('a', 5_000)
  assert.is(claims.claim('r', 'x', 'b', 14_999), 'wait')
  assert.is(claims.claim('r', 'x', 'b', 15_000), 'send', 'nothing came from a for 10 s')
  claims.handleActivity('b', 15_000)
  assert.is(claims.claim('r', 'x', 'a', 15_001), 'wait')
  claims.settle('r', 'x')
  claims.release('b')
  assert.is(claims.claim('r', 'x', 'a', 15_002), 'send')
  claims.release('a')
  assert.is(claims.size, 0)
})

test.run()
