// test/cli/command-line.test.ts — is every word of a command line understood, or refused by name?
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Output } from '../../src/cli/output.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { type CommonOptions, settle } from '../../src/cli/settings.ts'

const test = suite('cli: command line')

const COMMANDS = [
  'up',
  'manager',
  'server',
  'client',
  'backup',
  'snapshots',
  'ls',
  'restore',
  'key',
  'status',
]

interface Parsed {
  /** The command's work would have begun. */
  readonly isRun: boolean
  readonly said: string
  readonly printed: string
}

/** Parses without doing the work. */
async function parse(...words: string[]): Promise<Parsed> {
  const parsed = { isRun: false, said: '', printed: '' }
  const program = buildProgram(new Output({ isJson: true, isVerbose: false }), async () => {
    parsed.isRun = true
  })
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      writeOut: (text) => {
        parsed.printed += text
      },
    })
  }
  await program.parseAsync(words, { from: 'user' }).catch((error: Error) => {
    parsed.said = error.message
  })
  return parsed
}

const RIGHT: readonly string[] = [
  'up',
  'manager --data d',
  'server 2',
  'client',
  'client 2',
  'backup a b c --tag t --tag u --exclude *.o --json',
  '--json --client 2 backup a',
  'backup --client 2 -- --odd-name',
  'snapshots --config c.json',
  '--config c.json snapshots',
  'ls latest',
  'restore latest --target t --include /a --include /b',
  'restore --target t latest',
  'key import f',
  'status --json --verbose',
]
for (const line of RIGHT) {
  test(`understood: holdfast ${line}`, async () => {
    const parsed = await parse(...line.split(' '))
    assert.is(parsed.said, '')
    assert.ok(parsed.isRun)
  })
}

const WRONG: readonly [line: string, names: string][] = [
  ['bogus', "'bogus'"],
  ['statu', 'Did you mean status?'],
  ['backup a --bogus', "'--bogus'"],
  ['status --jsn', 'Did you mean --json?'],
  ['--bogus status', "'--bogus'"],
  ['snapshots extra', "'extra'"],
  ['server 1 2', "'2'"],
  ['server', "'number'"],
  ['backup', "'paths'"],
  ['restore latest', '--target'],
  ['restore latest --target', '--target'],
  ['restore latest --target ', '--target is empty'],
  ['backup a ', 'empty'],
  ['restore --target t', "'snapshot'"],
  ['ls', "'snapshot'"],
  ['backup a --client', '--client'],
]
for (const [line, names] of WRONG) {
  test(`refused by name: holdfast ${line}`, async () => {
    const parsed = await parse(...line.split(' '))
    assert.match(parsed.said, names)
    assert.not.ok(parsed.isRun)
    assert.is(parsed.printed, '', 'results only go to standard output')
  })
}

test('help lists every command; each command shows its own options and an example', async () => {
  const { printed } = await parse('--help')
  for (const name of COMMANDS) assert.match(printed, new RegExp(`^  ${name} `, 'm'))
  assert.match(printed, 'holdfast restore latest --target')
  for (const name of COMMANDS) {
    const own = await parse(name, '--help')
    assert.match(own.printed, `Usage: holdfast ${name}`)
    assert.match(own.printed, new RegExp(`Examples:\n  holdfast ${name}`))
    for (const option of ['--config', '--data', '--client', '--json']) {
      assert.match(own.printed, option)
    }
  }
})

const withEnvironment = async (
  values: Record<string, string>,
  work: () => Promise<void>,
): Promise<void> => {
  const names = ['HOLDFAST_CONFIG', 'HOLDFAST_DATA', 'HOLDFAST_QLOG', 'HOLDFAST_KEYLOG']
  const before = names.map((name) => [name, process.env[name]] as const)
  for (const name of names) delete process.env[name]
  Object.assign(process.env, values)
  try {
    await work()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

const refusal = async (options: CommonOptions): Promise<string> => {
  const error = await settle(options).catch((problem: unknown) => problem)
  return error instanceof Error ? error.message : 'taken'
}

test('records are kept where the environment says; what cannot be is said at once', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-settings-'))
  const [folder, keys, file] = [join(dir, 'a', 'b'), join(dir, 'keys'), join(dir, 'file')]
  const refuses = (values: Record<string, string>, words: RegExp): Promise<void> =>
    withEnvironment(values, async () => assert.match(await refusal({}), words))
  try {
    await withEnvironment({}, async () => {
      assert.equal((await settle({})).records, { qlogDir: null, keyLogPath: null })
    })
    await withEnvironment({ HOLDFAST_QLOG: folder, HOLDFAST_KEYLOG: keys }, async () => {
      assert.equal((await settle({})).records, { qlogDir: folder, keyLogPath: keys })
      assert.ok(existsSync(folder))
      assert.is(statSync(keys).mode & 0o777, 0o600)
    })
    writeFileSync(file, '')
    chmodSync(file, 0o644)
    await refuses({ HOLDFAST_QLOG: file }, /HOLDFAST_QLOG.*EEXIST/)
    await refuses({ HOLDFAST_KEYLOG: file }, /HOLDFAST_KEYLOG: others can read the key log/)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('options go before the environment, and that before the defaults', async () => {
  const where = async (options: CommonOptions) => (await settle(options)).dataDir
  await withEnvironment({}, async () => {
    assert.is(await where({}), `${process.cwd()}/data`)
    assert.is(await where({ data: '/a' }), '/a')
  })
  await withEnvironment({ HOLDFAST_DATA: '/env' }, async () => {
    assert.is(await where({}), '/env')
    assert.is(await where({ data: 'b' }), `${process.cwd()}/b`)
  })
  await withEnvironment({ HOLDFAST_DATA: '', HOLDFAST_CONFIG: '' }, async () => {
    assert.is(await where({}), `${process.cwd()}/data`, 'an empty variable is none')
  })
  await withEnvironment({ HOLDFAST_CONFIG: '/no/such.json' }, async () => {
    assert.match(await refusal({}), 'BAD_CONFIG: /no/such.json')
  })
})

test('a client that the config does not have is refused, and so is no number', async () => {
  await withEnvironment({}, async () => {
    assert.match(await refusal({ client: '3' }), 'there is no client 3, the config has 2')
    for (const client of ['0', '-1', '1.5', 'x', '']) {
      assert.match(await refusal({ client }), 'BAD_USAGE')
    }
  })
})

test.run()
