// test/cli/commands/perf.test.ts — can a link be measured from the command line, by anybody, and no more?
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pingWords, sendWords, serveWords } from '../../../src/cli/commands/perf-words.ts'
import { codeOf } from '../../support/code-of.ts'

const LAUNCHER = resolve(import.meta.dirname, '../../../bin/holdfast.js')
const test = suite<{ folder: string }>('cli: perf')

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'holdfast-perf-'))
})
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

test('words mean what they say', () => {
  const asked = sendWords({})
  assert.equal([asked.seconds, asked.bytes, asked.streams], [10, null, 1])
  assert.equal([asked.direction, asked.crc], ['forward', 'full'])
  const more = sendWords({ bytes: '1.5G', streams: '4', reverse: true, crc: 'header' })
  assert.equal([more.seconds, more.bytes, more.streams], [null, 1.5 * 2 ** 30, 4])
  assert.equal([more.direction, more.crc], ['reverse', 'header'])
  for (const [word, bytes] of [
    ['1', 1],
    ['1048576', 2 ** 20],
    ['64m', 2 ** 26],
    ['64MiB', 2 ** 26],
    ['2TB', 2 ** 41],
  ] as const) {
    assert.is(sendWords({ bytes: word }).bytes, bytes, word)
  }
  assert.equal(serveWords({}).bind, { host: '0.0.0.0', port: 7450 })
  assert.is(pingWords({ seconds: '0.5' }).seconds, 0.5)
})

test('words that make no sense are refused by name', async () => {
  const wrong: readonly [options: Record<string, unknown>, names: RegExp][] = [
    [{ bytes: '1', seconds: '2' }, /--bytes and --seconds/],
    [{ bytes: '0' }, /--bytes '0'/],
    [{ bytes: 'much' }, /--bytes 'much'/],
    [{ bytes: '9999999T' }, /--bytes '9999999T'/],
    [{ bytes: '' }, /--bytes ''/],
    [{ seconds: '0' }, /--seconds '0'/],
    [{ seconds: '-1' }, /--seconds '-1'/],
    [{ seconds: '1e9' }, /--seconds '1e9'/],
    [{ streams: '65' }, /--streams '65'/],
    [{ mtu: '1199' }, /--mtu '1199'/],
    [{ mtu: '1400', reverse: true }, /--mtu to perf serve/],
    [{ cc: 'vegas' }, /--cc 'vegas'/],
    [{ cc: 'cubic', reverse: true }, /--cc to perf serve/],
    [{ crc: 'none' }, /--crc 'none'/],
  ]
  for (const [options, names] of wrong) {
    assert.is(await codeOf(() => sendWords(options)), 'BAD_USAGE')
    assert.throws(() => sendWords(options), names)
  }
  assert.throws(() => serveWords({ port: '65536' }), /--port '65536'/)
})

interface Done {
  readonly exitCode: number | null
  readonly out: Record<string, unknown>[]
  readonly said: string
}

/** In a folder of its own, with a config that cannot be read: perf needs none. */
function begin(folder: string, ...words: string[]): { child: ChildProcess; done: Promise<Done> } {
  const child = spawn(process.execPath, [LAUNCHER, 'perf', ...words], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOLDFAST_CONFIG: '/no/such/config.json', HOLDFAST_DATA: '' },
  })
  let out = ''
  let said = ''
  child.stdout?.on('data', (part: Buffer) => {
    out += part.toString()
  })
  child.stderr?.on('data', (part: Buffer) => {
    said += part.toString()
  })
  const done = once(child, 'close').then(([exitCode]) => ({
    exitCode,
    out: words.includes('--json') ? out.trim().split('\n').filter(Boolean).map(parse) : [],
    said,
  }))
  return { child, done }
}

const parse = (line: string): Record<string, unknown> => JSON.parse(line)

/** Listens on: whoever closes the pipe ends the server. */
function readyPort(child: ChildProcess): Promise<number> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<number>()
  let text = ''
  child.stdout?.on('data', (part: Buffer) => {
    text += part.toString()
    const port = /ready: perf serves at 127\.0\.0\.1:(\d+)/.exec(text)?.[1]
    if (port) settle(Number(port))
  })
  child.once('close', () => reject(new Error('perf serve ended before it was ready')))
  return promise
}

test('serve needs no cluster, send and ping report, and both ends leave nothing behind', async ({
  folder,
}) => {
  const server = begin(folder, 'serve', '--host', '127.0.0.1', '--port', '0')
  try {
    const to = `127.0.0.1:${await readyPort(server.child)}`
    const words = ['--bytes', '4M', '--streams', '2', '--cc', 'cubic', '--crc', 'header']
    const sent = await begin(folder, 'send', to, ...words, '--json').done
    assert.is(sent.exitCode, 0, sent.said)
    const summary = sent.out.at(-1) ?? {}
    assert.is(summary.type, 'summary')
    assert.is(summary.bytes, 4 * 2 ** 20)
    assert.is(summary.verified, true)
    assert.equal([summary.congestion, summary.crc], ['cubic', 'header'])
    assert.match(String(summary.driver), /segmented|batched|plain/)
    for (const name of ['seconds', 'bitsPerSecond', 'rttMs', 'lossRate', 'retransmitRate']) {
      assert.type(summary[name], 'number', name)
    }
    const { sender, receiver } = summary.cpuSecondsPerGB as Record<string, unknown>
    assert.equal([typeof sender, typeof receiver], ['number', 'number'])

    const back = await begin(folder, 'send', to, '--seconds', '1.5', '--reverse', '--json').done
    assert.is(back.exitCode, 0, back.said)
    assert.equal(
      back.out.map(({ type }) => type),
      ['interval', 'summary'],
    )
    const asked = await begin(folder, 'ping', to, '--seconds', '0.2', '--json').done
    assert.is(asked.exitCode, 0, asked.said)
    assert.ok((asked.out[0] as { at64: { perSecond: number } }).at64.perSecond > 100)

    const second = await begin(folder, 'serve', '--host', '127.0.0.1', '--port', to.slice(10)).done
    assert.is(second.exitCode, 1)
    assert.match(second.said, /port in use.*--port \[PORT_IN_USE\]/)

    const cut = begin(folder, 'send', to, '--seconds', '60', '--json')
    await once(cut.child.stdout!, 'data')
    cut.child.kill('SIGINT')
    const interrupted = await cut.done
    assert.is(interrupted.exitCode, 130, interrupted.said)
    assert.is(interrupted.out.at(-1)?.interrupted, true)
  } finally {
    server.child.kill('SIGINT')
  }
  const { exitCode, said } = await server.done
  assert.is(exitCode, 0, said)
  assert.match(said, 'not authenticated')
  assert.equal(await readdir(folder), [])
})

test('an address that is none, and one where nobody is, are told apart', async ({ folder }) => {
  const outcomes = await Promise.all([
    begin(folder, 'send', '127.0.0.1:x').done,
    begin(folder, 'ping', 'no-such-host.invalid').done,
    begin(folder, 'send', '127.0.0.1:9', '--bytes', '1').done,
  ])
  assert.equal(
    outcomes.map(({ exitCode }) => exitCode),
    [1, 1, 1],
  )
  const [none, unknown, silent] = outcomes.map(({ said }) => said)
  assert.match(none ?? '', /'127\.0\.0\.1:x' is not HOST:PORT.*BAD_USAGE/)
  assert.match(unknown ?? '', /no host 'no-such-host\.invalid'.*UNREACHABLE/)
  assert.match(silent ?? '', /nobody answers at 127\.0\.0\.1:9\/udp.*perf serve.*UNREACHABLE/)
})

test.run()
