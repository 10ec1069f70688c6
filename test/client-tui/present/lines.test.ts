// test/client-tui/present/lines.test.ts — do models become the lines that a person should read?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { footer, helpLines, KEYS } from '../../../src/client-tui/keys.ts'
import {
  begin,
  handleEvent,
  handleSaved,
  handleStatus,
  handleStored,
  initialModel,
  type Model,
  move,
} from '../../../src/client-tui/model.ts'
import {
  bar,
  columnsOf,
  fit,
  type Line,
  presentActivity,
  presentFiles,
  presentMessage,
  presentSaved,
  presentServers,
  shortNames,
  wrap,
} from '../../../src/client-tui/present/lines.ts'
import { clusterStatus, stored } from '../support/stage.ts'

const test = suite('client-tui: lines')

const text = (lines: readonly Line[]): string[] =>
  lines.map((line) => line.map((piece) => piece.text).join(''))

const files = [1, 2, 3].map((number) => ({
  key: String(number),
  label: `FILE_${number}`,
  path: `/folder/name-${number}`,
  sizeBytes: number === 3 ? null : number * 1_000,
}))
const model: Model = initialModel({ clientName: 'c', files, restoreFolder: '/r' })

test('too long a path keeps its end, and counts columns, not characters', () => {
  const rows: [string, number, string][] = [
    ['short', 10, 'short'],
    ['/a/long/path', 6, '…/path'],
    ['日本語の名前', 12, '日本語の名前'],
    ['日本語の名前', 7, '…の名前'],
    ['e\u0301\u0301x', 2, 'e\u0301\u0301x'],
    ['a\u001bb\nc\u202ed', 10, 'a?b?c?d'],
    ['', 4, ''],
  ]
  for (const [path, columns, shown] of rows) {
    assert.is(fit(path, columns), shown)
    assert.ok(columnsOf(fit(path, columns)) <= columns)
  }
})

test('a message goes on several lines, and says when it was cut', () => {
  assert.equal(wrap('one two three', 7, 2), ['one two', 'three'])
  assert.equal(wrap('one two three four', 7, 2), ['one two', 'three…'])
  assert.equal(wrap('', 7, 2), [''])
  assert.equal(wrap('a\nb', 7, 2), ['a b'])
})

test('bars are as long as asked, whatever the ratio', () => {
  for (const ratio of [-1, 0, 0.5, 1, 7]) assert.is(columnsOf(bar(ratio, 10)), 10)
  assert.is(bar(0.5, 4), '██░░')
})

test('names that share a stem are shortened', () => {
  assert.is(shortNames(['server-1', 'server-3']), 'server-1, 3')
  assert.is(shortNames(['one', 'two']), 'one, two')
  assert.is(shortNames(['cellar-1', 'attic-2']), 'cellar-1, attic-2')
  assert.is(shortNames([]), '')
})

test('a file that is not there says so', () => {
  assert.match(text(presentFiles(model, 60, 3))[2] ?? '', /3 {2}FILE_3 {2}name-3 +not there/)
  for (const line of text(presentFiles(model, 60, 3))) assert.ok(columnsOf(line) <= 60, line)
})

const blob = (servers: [number, number], state: 'sending' | 'replicated') =>
  ({
    type: 'blob',
    state,
    blobId: 'b',
    sizeBytes: 100,
    primary: { number: servers[0], name: `s${servers[0]}` },
    backupServer: { number: servers[1], name: '' },
    storedBytes: 100,
    forwardedBytes: 40,
    message: '',
  }) as const

test('what is stored names every server that took part, and no other', () => {
  let now = begin(model, 'backup', 'x', 100)
  now = handleEvent(now, blob([1, 2], 'replicated'))
  now = handleEvent(now, blob([3, 4], 'sending'))
  assert.match(handleStored(now, stored({})).message.text, 'x is stored on s1 and server 2;')
  now = handleEvent(now, blob([3, 4], 'replicated'))
  const said = handleStored(now, stored({})).message.text
  assert.match(said, 'stored on two servers each of s1, s3, server 2, server 4;')
  const nothing = handleStored(begin(model, 'backup', 'x', 100), stored({ newBytes: 0 }))
  assert.match(nothing.message.text, 'x is stored already, on two servers')
})

test('while it runs nothing reads as done', () => {
  const now = handleEvent(begin(model, 'backup', 'x', 100), blob([1, 2], 'sending'))
  const lines = text(presentActivity(now.activity, 76)).join('\n')
  assert.match(lines, 'storing x')
  assert.match(lines, /to +s1 .*100 %/)
  assert.match(lines, /and +server 2 .* 40 %/)
  assert.not.match(lines, /stored/)
})

test('the marked snapshot stays in sight', () => {
  const rows = Array.from({ length: 9 }, (_, index) => ({
    snapshot: `${index}`.repeat(64),
    timeMs: 0,
    clientName: 'c',
    paths: ['/p'],
    bytes: 1,
    servers: null,
  }))
  let now: Model = { ...handleSaved(model, rows), focus: 'saved' }
  for (let step = 0; step < 20; step += 1) now = move(now, 1)
  const lines = text(presentSaved(now, 76, 3))
  assert.is(lines.length, 3)
  assert.match(lines[2] ?? '', '▸ 88888888')
  for (let step = 0; step < 20; step += 1) now = move(now, -1)
  assert.match(text(presentSaved(now, 76, 3))[0] ?? '', '▸ 00000000')
})

test('four servers fit on 76 columns, with or without their bytes', () => {
  for (const usedBytes of [0, 2 ** 40]) {
    const status = clusterStatus({})
    const servers = status.servers.map((server) => ({ ...server, usedBytes }))
    const [line = ''] = text(presentServers(handleStatus(model, { ...status, servers }), 76))
    assert.match(line, /server-1 up .*server-4 up/)
    assert.ok(columnsOf(line.trimEnd()) <= 76, line)
  }
})

test('a typed line shows its end and a cursor', () => {
  const typing = { purpose: 'path', text: '/a/very/long/path/to/type' } as const
  assert.is(text(presentMessage({ ...model, typing }, 30, 2))[0], 'Path to store: …path/to/type▏')
})

test('footer and help come from the table of keys, and the footer fits', () => {
  assert.is(helpLines().length, KEYS.length)
  const full = footer(handleSaved(model, [{ ...savedRow }]), 78)
  assert.ok(full.length <= 78, full)
  for (const word of ['1-3 pick', 'Enter store', 'r restore', 'q quit']) assert.match(full, word)
  assert.not.match(footer(model, 78), 'r restore', 'nothing is stored yet')
  assert.match(footer({ ...handleSaved(model, [savedRow]), focus: 'saved' }, 78), 'Enter restore')
  const busy = footer(begin(model, 'backup', 'x', null), 78)
  assert.not.match(busy, 'Enter')
  assert.match(busy, 'q quit')
})

const savedRow = {
  snapshot: 'a'.repeat(64),
  timeMs: 0,
  clientName: 'c',
  paths: ['/p'],
  bytes: 1,
  servers: null,
}

test.run()
