// test/config.test.ts — does a wrong config say where, what was found and what is allowed?
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import DEFAULT_CONFIG, { loadConfig, parseConfig } from '../config.ts'
import { isHoldfastError } from '../src/errors.ts'

const test = suite('config')

const node = (name: string, port: number) => ({ name, host: '127.0.0.1', port })
const client = (name: string) => ({ name, FILE_1: 'a', FILE_2: 'b/../b', FILE_3: '/c' })
const GOOD = {
  manager: node('manager', 7400),
  servers: [node('one', 7401), node('two', 7402)],
  clients: [client('first'), client('second')],
}
const WHERE = { folder: '/folder', source: 'some.json' }

test("the project's own config: a manager, four servers, two clients of three files", async () => {
  const config = await loadConfig(null)
  assert.equal(
    [config.manager, ...config.servers].map(({ host, port }) => `${host}:${port}`),
    [7400, 7401, 7402, 7403, 7404].map((port) => `127.0.0.1:${port}`),
  )
  assert.is(config.clients.length, 2)
  assert.is(config.replicas, 2)
  const files = config.clients.flatMap(({ FILE_1, FILE_2, FILE_3 }) => [FILE_1, FILE_2, FILE_3])
  assert.is(new Set(files).size, 6, 'no file is used twice')
  assert.equal(Object.keys(DEFAULT_CONFIG).sort(), ['clients', 'manager', 'servers'])
})

test('files are relative to the config file', () => {
  const [first] = parseConfig(GOOD, WHERE).clients
  assert.equal(first, { name: 'first', FILE_1: '/folder/a', FILE_2: '/folder/b', FILE_3: '/c' })
})

test('a bind address is written as a word, or as host and port', () => {
  const bound = (bind: unknown) =>
    parseConfig({ ...GOOD, manager: { ...GOOD.manager, bind } }, WHERE).manager.bind
  assert.equal(bound('127.0.0.2'), { host: '127.0.0.2' })
  assert.equal(bound({ port: 9 }), { port: 9 })
})

test('two nodes may have the same port number on two addresses', () => {
  const far = { name: 'far', host: '127.0.0.9', port: 7401 }
  assert.is(parseConfig({ ...GOOD, servers: [...GOOD.servers, far] }, WHERE).servers.length, 3)
})

const server = (change: object) => ({
  ...GOOD,
  servers: [{ ...node('one', 7401), ...change }, GOOD.servers[1]],
})

const CYCLE: unknown[] = []
CYCLE.push(CYCLE)

const WRONG: readonly [what: string, raw: unknown, ...said: string[]][] = [
  ['not an object', 5, 'the whole: found 5, allowed: an object with manager, servers'],
  ['nothing', null, 'the whole: found null'],
  ['a bigint', server({ port: 7400n }), 'servers[0].port: found 7400n, allowed'],
  ['a list of itself', CYCLE, 'the whole: found <ref *1> [ [Circular *1] ], allowed'],
  ['a list for an object', [], 'the whole: found []'],
  ['no manager', { ...GOOD, manager: undefined }, 'manager: found nothing'],
  ['an unknown field', { ...GOOD, prot: 7 }, 'prot: found 7, but there is no such field'],
  ['a typo', server({ prot: 7 }), 'servers[0].prot: found 7', 'allowed: an object with name, host'],
  ['a port as text', server({ port: '7401' }), 'servers[0].port: found "7401"', '1 to 65535'],
  ['port 0', server({ port: 0 }), 'servers[0].port: found 0, allowed: a whole number from 1'],
  ['a broken port', server({ port: 1.5 }), 'servers[0].port: found 1.5'],
  ['a missing port', server({ port: undefined }), 'servers[0].port: found nothing'],
  ['an empty host', server({ host: '' }), 'servers[0].host: found ""', 'a host name'],
  ['no server', { ...GOOD, servers: [] }, 'servers: found []', 'at least one server'],
  [
    'a file that is missing',
    { ...GOOD, clients: [{ name: 'c', FILE_1: 'a', FILE_2: 'b' }] },
    'clients[0].FILE_3: found nothing, allowed: the path of a file',
  ],
  ['one copy', { ...GOOD, replicas: 1 }, 'replicas: found 1, allowed: a whole number from 2'],
  ['more copies than servers', { ...GOOD, replicas: 3 }, 'replicas: found 3, allowed: at most'],
  ['a wild heart', { ...GOOD, timing: { heartbeatMs: 5 } }, 'timing.heartbeatMs: found 5', '100'],
  [
    'death by a pause',
    { ...GOOD, timing: { deadMs: 5_000 } },
    'timing.deadMs: found 5000',
    '10000',
  ],
  ['a name twice', server({ name: 'two' }), 'servers[1].name: found "two", which servers[0] has'],
  ['a port twice', server({ port: 7400 }), 'servers[0].port: found 7400, which manager has'],
  ['a port twice by another name', server({ host: 'localhost', port: 7400 }), 'servers[0].port'],
  ['a bound port twice', server({ bind: { port: 7402 } }), 'servers[1].port: found 7402'],
  [
    'a client twice',
    { ...GOOD, clients: [client('x'), client('x')] },
    'clients[1].name: found "x"',
  ],
  [
    'two mistakes at once',
    { ...GOOD, manager: 1, replicas: 'b' },
    'manager: found 1',
    'replicas: found "b"',
    '2 mistakes',
  ],
]

for (const [what, raw, ...said] of WRONG) {
  test(`refused with its place: ${what}`, () => {
    try {
      parseConfig(raw, WHERE)
    } catch (error) {
      assert.ok(isHoldfastError(error, 'BAD_CONFIG'), String(error))
      assert.match(error.detail, 'some.json')
      for (const words of said) assert.match(error.detail, words)
      return
    }
    assert.unreachable(`${what} was taken`)
  })
}

test('a config is a .ts, .js or .json file; anything else says what is wrong', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-config-'))
  try {
    const write = async (name: string, words: string): Promise<string> => {
      await writeFile(join(folder, name), words)
      return join(folder, name)
    }
    const words = JSON.stringify(GOOD)
    for (const [name, content] of [
      ['a.json', words],
      ['a.js', `export default ${words}`],
      ['b.mjs', `export default ${words}`],
      ['a.ts', `const config: object = ${words}\nexport default config`],
    ] as const) {
      const config = await loadConfig(await write(name, content))
      assert.is(config.clients[0]?.FILE_1, join(folder, 'a'), name)
    }
    for (const [name, content, said] of [
      ['broken.json', '{', 'cannot be read'],
      ['broken.js', 'export default {', 'cannot be read'],
      ['empty.ts', 'export const a = 1', 'no default export'],
      ['a.yaml', 'a: 1', 'not a .ts, .js or .json file'],
      ['wrong.json', '{"manager":1}', 'wrong.json has 3 mistakes'],
    ] as const) {
      const path = await write(name, content)
      const error = await loadConfig(path).catch((problem: unknown) => problem)
      assert.ok(isHoldfastError(error, 'BAD_CONFIG'), name)
      assert.match(error.detail, said)
    }
    for (const path of ['absent.json', 'absent.ts'].map((name) => join(folder, name))) {
      const error = await loadConfig(path).catch((problem: unknown) => problem)
      assert.ok(isHoldfastError(error, 'BAD_CONFIG'))
      assert.is(error.detail, `${path} cannot be read: there is no such file`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test.run()
