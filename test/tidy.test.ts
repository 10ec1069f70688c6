// test/tidy.test.ts — does the repository keep its own rules?
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = resolve(import.meta.dirname, '..')
const COLUMNS_MAX = 100
// The question of a file is one line.
const COMMENT_COLUMNS_MAX = 104
const LINES_MAX = 420
const test = suite('tidy')

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '')
const sources = files.filter((path) => path.endsWith('.ts'))
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Who may import whom, by the longest matching folder. `protocol/types.ts` and the like of other
 * packages do not count. */
const MAY_IMPORT: readonly (readonly [folder: string, allowed: readonly string[]])[] = [
  ['protocol/', ['protocol/']],
  ['src/errors.ts', []],
  ['src/messages.ts', []],
  ['src/identity/', ['src/identity/', 'src/errors.ts']],
  ['src/rpc/', ['src/rpc/', 'protocol/', 'src/errors.ts', 'src/messages.ts']],
  ['src/chunk/', ['src/chunk/', 'src/errors.ts']],
  ['src/manager/', programs('manager')],
  ['src/server/', programs('server')],
  ['src/client/', programs('client')],
  ['src/client-tui/', ['src/client-tui/', 'src/client/index.ts', 'src/errors.ts']],
  ['src/cli/', ['src/', 'config.ts']],
  ['config.ts', ['src/errors.ts']],
  ['bench/', ['']],
  ['test/', ['']],
]

function programs(name: string): string[] {
  const shared = ['src/rpc/', 'src/identity/', 'src/chunk/', 'src/errors.ts', 'src/messages.ts']
  return [`src/${name}/`, ...shared]
}

test('imports go one way, or a change in one program breaks another', () => {
  const wrong: string[] = []
  for (const path of sources) {
    const rule = MAY_IMPORT.find(([folder]) => path.startsWith(folder))
    assert.ok(rule, `${path} belongs to no layer`)
    for (const target of importsOf(path)) {
      if (!rule[1].some((allowed) => target.startsWith(allowed))) wrong.push(`${path} → ${target}`)
    }
  }
  assert.equal(wrong, [])
})

function importsOf(path: string): string[] {
  const found = read(path).matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)
  return [...found].map((match) => relative(ROOT, resolve(ROOT, dirname(path), match[1] ?? '')))
}

test('sockets are opened, and screens drawn, in one place each', () => {
  const users = (packageName: string): string[] =>
    sources
      .filter((path) => !path.startsWith('test/') && !path.startsWith('bench/'))
      .filter((path) => new RegExp(`from '(node:)?${packageName}'`).test(read(path)))
  assert.equal(users('dgram-as-promised'), ['protocol/udp/udp-port.ts'])
  assert.equal(
    users('dgram').filter((path) => !path.startsWith('protocol/udp/')),
    [],
  )
  assert.equal(users('blessed'), ['src/client-tui/view/screen.ts'])
})

test('every file says which question it answers', () => {
  for (const path of sources) {
    const [first = ''] = read(path).split('\n')
    assert.ok(first.startsWith(`// ${path} — `), `${path} begins with: ${first}`)
  }
})

test('files are short enough to read, and lines to see', () => {
  const wrong: string[] = []
  for (const path of sources) {
    const lines = read(path).split('\n')
    if (lines.length > LINES_MAX) wrong.push(`${path}: ${lines.length} lines`)
    for (const [index, line] of lines.entries()) {
      const isText = /['`"]/.test(line) // A sentence for people is not cut.
      const max = /^\s*(\/\/|\*|\/\*)/.test(line) ? COMMENT_COLUMNS_MAX : COLUMNS_MAX
      if (line.length > max && !isText) wrong.push(`${path}:${index + 1}: ${line.length}`)
    }
  }
  assert.equal(wrong, [])
})

test('nothing is left for later, and nothing tells of this machine', () => {
  const marks = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`)
  const wrong = [...sources, 'README.md', 'CHANGELOG.md'].filter((path) => marks.test(read(path)))
  assert.equal(wrong, [])
  const texts = files.filter((path) => /\.(ts|js|md|json|c)$|^\.ci\//.test(path))
  const paths = new RegExp(`(^|[^\\w.])/(${['wo' + 'rk', 'fa' + 'rm'].join('|')})/`)
  assert.equal(
    texts.filter((path) => paths.test(read(path))),
    [],
  )
  assert.not.match(read('package-lock.json'), /"resolved": "http/)
})

test('README shows the two commands', () => {
  assert.match(read('README.md'), /npm ci && npm start/)
  assert.match(read('README.md'), /npm ci && npm test/)
})

test.run()
