// test/tidy.test.ts — does the project keep its own rules: who imports whom, how a file looks?
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = resolve(import.meta.dirname, '..')
const COLUMNS_MAX = 100
/** The first line holds the path too. */
const HEAD_COLUMNS_MAX = 120
const COMMENT_COLUMNS_MAX = 104
const LINES_MAX = 420
const CODE = ['{protocol,src,bench,test}/**/*.ts', 'bin/*.js', '*.ts']
const PROSE = ['*.md', '{docs,protocol}/**/*.md', '.ci/run', '*.json', '.npmrc', '.gitignore']
/** Who may import whom (docs/ARCHITECTURE.md). A folder may always import itself. `index` stands
 * for the entry points of a folder, main.ts and index.ts. */
const RULES: readonly [who: string, ...whom: string[]][] = [
  ['protocol/'],
  ['src/errors.ts'],
  ['src/messages.ts'],
  ['src/perf-key.ts'],
  ['src/identity/', 'src/errors.ts', 'src/messages.ts', 'src/perf-key.ts'],
  ['src/rpc/', 'protocol/', 'src/errors.ts', 'src/messages.ts'],
  ['src/perf/', 'protocol/', 'src/errors.ts', 'src/perf-key.ts'],
  ['src/chunk/', 'src/errors.ts'],
  ...['manager', 'server', 'client'].map((part): [string, ...string[]] => [
    `src/${part}/`,
    'src/rpc/',
    'src/identity/',
    'src/chunk/',
    'src/errors.ts',
    'src/messages.ts',
  ]),
  ['src/client-tui/', 'src/client/', 'src/errors.ts'],
  ['src/cli/', 'index', 'src/errors.ts', 'config.ts', 'package.json'],
  ['bin/', 'src/cli/main.ts'],
  ['config.ts', 'src/errors.ts'],
]

interface SourceFile {
  readonly path: string
  readonly lines: readonly string[]
  readonly imports: readonly string[]
}

const sources = read(CODE).map(({ path, text }): SourceFile => {
  const specifiers = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)]
  return { path, lines: text.split('\n'), imports: specifiers.map(([, name]) => name ?? '') }
})
const shipped = sources.filter(({ path }) => !/^(test|bench)\//.test(path))

const test = suite('tidy')

test('the rules below look at something', () => {
  assert.ok(shipped.length > 100, `${shipped.length} files`)
  assert.ok(sources.some(({ imports }) => imports.includes('blessed')))
  for (const [who] of RULES) {
    assert.ok(
      sources.some(({ path }) => path.startsWith(who)),
      `${who} is gone`,
    )
  }
})

test('imports run one way', () => {
  const wrong = shipped.flatMap(({ path, imports }) => {
    const [own = '', ...allowed] = RULES.find(([who]) => path.startsWith(who)) ?? []
    return imports
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(ROOT, resolve(ROOT, dirname(path), name)))
      .filter((target) => own === '' || ![own, ...allowed].some((rule) => fits(target, rule)))
      .map((target) => `${path} imports ${target}`)
  })
  assert.equal(wrong, [])
})

test('every imported file is there', () => {
  const wrong = sources.flatMap(({ path, imports }) =>
    imports
      .filter((name) => name.startsWith('.') && !existsSync(join(ROOT, dirname(path), name)))
      .map((name) => `${path} imports ${name}`),
  )
  assert.equal(wrong, [])
})

test('only protocol/udp opens datagram sockets, and only the view knows blessed', () => {
  const found = (names: readonly string[], home: string): string[] =>
    shipped
      .filter(
        ({ path, imports }) => !path.startsWith(home) && names.some((n) => imports.includes(n)),
      )
      .map(({ path }) => path)
  assert.equal(found(['node:dgram', 'dgram-as-promised'], 'protocol/udp/'), [])
  assert.equal(found(['blessed'], 'src/client-tui/view/'), [])
})

test('the first line of a source file is its path, and what question it answers', () => {
  const wrong = sources.filter(({ path, lines }) => {
    const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0]
    return !first?.startsWith(`// ${path} — `)
  })
  assert.equal(
    wrong.map(({ path, lines }) => `${path}: ${lines[0]}`),
    [],
  )
})

test('files are short enough to read, and lines to see', () => {
  const long = sources.flatMap(({ path, lines }) =>
    lines.flatMap((line, at) =>
      [...line].length > columnsMax(line, at) ? [`${path}:${at + 1}: ${[...line].length}`] : [],
    ),
  )
  assert.equal(long, [])
  const tall = sources.filter(({ lines }) => lines.length > LINES_MAX)
  assert.equal(
    tall.map(({ path, lines }) => `${path}: ${lines.length} lines`),
    [],
  )
})

function columnsMax(line: string, at: number): number {
  if (at === 0) return HEAD_COLUMNS_MAX
  if (/^\s*(\/\/|\*|\/\*)/.test(line)) return COMMENT_COLUMNS_MAX
  return /['`"]/.test(line) ? Number.POSITIVE_INFINITY : COLUMNS_MAX // A sentence is not cut.
}

test('nothing is left to do later, and nothing names the machine it was written on', () => {
  // Built from parts, so that this file does not find itself.
  const markers = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`)
  const places = new RegExp(`(^|[^\\w.])/(${['wo' + 'rk', 'fa' + 'rm', 'tmp/' + 'hf'].join('|')})/`)
  const wrong = [...read(CODE), ...read(PROSE)].flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, at) =>
        markers.test(line) || places.test(line) ? [`${path}:${at + 1}`] : [],
      ),
  )
  assert.equal(wrong, [])
})

test('the lock file names no registry', () => {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  assert.not.match(lock, /"resolved"/)
  assert.match(lock, /"integrity"/)
})

test('README shows the two commands', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  assert.match(readme, /npm ci && npm start/)
  assert.match(readme, /npm ci && npm test/)
})

test('what the documentation points at is there', () => {
  const wrong = read(['*.md', '{docs,protocol}/**/*.md']).flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .map(([, target]) => target ?? '')
      .filter((target) => !existsSync(join(ROOT, dirname(path), target)))
      .map((target) => `${path} points at ${target}`),
  )
  assert.equal(wrong, [])
})

function fits(target: string, rule: string): boolean {
  if (rule === 'index') return /^src\/[\w-]+\/(index|main)\.ts$/.test(target)
  return rule.endsWith('/') ? target.startsWith(rule) : target === rule
}

function read(patterns: readonly string[]): { path: string; text: string }[] {
  const exclude = ['package-lock.json', 'node_modules/**', 'data/**', 'coverage/**']
  return globSync([...patterns], { cwd: ROOT, exclude })
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

test.run()
