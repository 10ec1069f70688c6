// test/identity/make-folder.test.ts — does a folder that cannot be made end in an error?
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { makeFolder } from '../../src/identity/index.ts'
import { testUnless } from '../support/skip.ts'

const test = suite<{ folder: string }>('identity: make folder')
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'holdfast-folder-'))
})
test.after.each(({ folder }) => rmSync(folder, { recursive: true }))

const isDirectory = (path: string | Buffer): boolean => statSync(path).isDirectory()
const codeOf = (work: () => void): unknown => {
  try {
    return work()
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test('makes all that are missing above it, with the mode, and takes those that are there', ({
  folder,
}) => {
  const path = join(folder, 'a/b/c')
  makeFolder(path, 0o700)
  makeFolder(path, 0o700)
  for (const made of ['a', 'a/b', 'a/b/c']) {
    assert.is(statSync(join(folder, made)).mode & 0o777, 0o700)
  }
})

test('a name that is no UTF-8 stays as it is', ({ folder }) => {
  const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe, 0x2f, 0xe9])])
  makeFolder(path)
  assert.ok(isDirectory(path))
})

test('a file in the way is an error', ({ folder }) => {
  writeFileSync(join(folder, 'file'), '')
  assert.is(
    codeOf(() => makeFolder(join(folder, 'file'))),
    'EEXIST',
  )
  assert.is(
    codeOf(() => makeFolder(join(folder, 'file/below'))),
    'ENOTDIR',
  )
})

// In a process of its own: what it guards against is a call that never returns.
const register = testUnless(test, existsSync('/proc/self') ? null : 'there is no /proc here')
register('where no folder can be made it says so, and does not try for ever', () => {
  const source = resolve(import.meta.dirname, '../../src/identity/make-folder.ts')
  const code = `const { makeFolder } = await import(${JSON.stringify(source)})
    try { makeFolder('/proc/holdfast/data') } catch (error) { console.log(error.code) }`
  const words = ['--input-type=module', '-e', code]
  const said = execFileSync(process.execPath, words, { timeout: 20_000, encoding: 'utf8' })
  assert.is(said, 'ENOENT\n')
})

test.run()
