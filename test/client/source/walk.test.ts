// test/client/source/walk.test.ts — is every entry met once, in order, whatever its name?
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openNativeFiles } from '../../../src/client/os/native.ts'
import { displayPath } from '../../../src/client/path.ts'
import { compileExcludes } from '../../../src/client/source/excludes.ts'
import { openSourceFiles, type SourceFiles } from '../../../src/client/source/files.ts'
import { planPaths } from '../../../src/client/source/paths.ts'
import { type WalkItem, walk } from '../../../src/client/source/walk.ts'

const test = suite<{ folder: string }>('client walk')
const files = openSourceFiles(openNativeFiles())

test.before.each((context) => {
  context.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-walk-'))
})
test.after.each(({ folder }) => fs.rmSync(folder, { recursive: true, force: true }))

const systemError = (code: string): Error => Object.assign(new Error(code), { code })

function list(
  folder: string,
  paths: (string | Buffer)[],
  { excludes = [] as string[], from = files as SourceFiles } = {},
): string[] {
  const plan = planPaths(paths, from)
  const seen: string[] = []
  for (const item of walk(plan, { files: from, excludes: compileExcludes(excludes) })) {
    const text = describe(item, folder)
    if (text !== null) seen.push(text)
  }
  return seen
}

function describe(item: WalkItem, folder: string): string | null {
  if (item.kind === 'leave') return null
  const at = item.kind === 'problem' ? item.problem.path! : item.path
  const shown = displayPath(at)
  if (!shown.startsWith(`${folder}/`)) return item.kind === 'problem' ? `! ${shown}` : null
  const short = shown.slice(folder.length + 1)
  if (item.kind === 'problem') return `! ${short} ${item.problem.code}`
  if (item.kind === 'folder') return `${short}/`
  return item.kind === 'entry' ? `${short}:${item.type}` : `${short} ${item.kind}`
}

test('names come in byte order, also those that are not UTF-8', ({ folder }) => {
  const names = [[0xff, 0x41], [0x2d, 0x72, 0x66], [0x61, 0x0a, 0x62], [0xc3, 0xa4], [0x5a]]
  for (const name of names) {
    fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)]), 'x')
  }
  assert.equal(list(folder, [folder]), [
    '-rf:file',
    'Z:file',
    'a\\x0ab:file',
    'ä:file',
    '\\xffA:file',
  ])
})

test('symlinks are kept as links, also in front of a folder', ({ folder }) => {
  fs.mkdirSync(`${folder}/real/deep`, { recursive: true })
  fs.symlinkSync('real', `${folder}/link`)
  fs.symlinkSync('/nowhere', `${folder}/dangling`)
  assert.equal(list(folder, [folder]), ['dangling:symlink', 'link:symlink', 'real/', 'real/deep/'])
  assert.equal(list(folder, [`${folder}/link`]), ['link:symlink'])
})

test('a fifo is recorded, never opened', ({ folder }) => {
  execFileSync('mkfifo', [`${folder}/pipe`])
  assert.equal(list(folder, [folder]), ['pipe:fifo'])
})

test('a path inside another is not stored twice; doubles and .. do not matter', ({ folder }) => {
  fs.mkdirSync(`${folder}/a/b`, { recursive: true })
  fs.writeFileSync(`${folder}/a/b/file`, '')
  const once = list(folder, [`${folder}/a`])
  assert.equal(once, ['a/', 'a/b/', 'a/b/file:file'])
  assert.equal(list(folder, [`${folder}/a/b`, `${folder}/a/`, `${folder}/x/../a`]), once)
})

test('a path through a symlink inside another path is refused, not lost in silence', ({
  folder,
}) => {
  fs.mkdirSync(`${folder}/out/inner`, { recursive: true })
  fs.mkdirSync(`${folder}/top`)
  fs.symlinkSync('../out', `${folder}/top/link`)
  const plan = planPaths([`${folder}/top`, `${folder}/top/link/inner`], files)
  assert.equal(
    plan.problems.map((problem) => problem.code),
    ['ELOOP'],
  )
  fs.symlinkSync('top', `${folder}/toplink`)
  const behind = planPaths([`${folder}/toplink`, `${folder}/toplink/link`], files)
  assert.equal(
    behind.problems.map((problem) => problem.code),
    ['ELOOP'],
  )
})

test('siblings of a named path stay out, the folders above it come along', ({ folder }) => {
  fs.mkdirSync(`${folder}/a/b`, { recursive: true })
  fs.mkdirSync(`${folder}/a/c`)
  fs.mkdirSync(`${folder}/a/d`)
  assert.equal(list(folder, [`${folder}/a/d`, `${folder}/a/b`]), ['a/', 'a/b/', 'a/d/'])
})

test('a path that is not there or cannot be read is reported, and no part of the backup', ({
  folder,
}) => {
  for (const name of ['dir', 'locked', 'dir/locked']) fs.mkdirSync(`${folder}/${name}`)
  for (const name of ['file', 'closed']) fs.writeFileSync(`${folder}/${name}`, '')
  const refuse = (at: Buffer, end: string): void => {
    if (at.toString().endsWith(end)) throw systemError('EACCES')
  }
  const from: SourceFiles = {
    ...files,
    open(at) {
      refuse(at, '/closed')
      return files.open(at)
    },
    readNames(at) {
      refuse(at, '/locked')
      return files.readNames(at)
    },
  }
  const names = ['closed', 'dir', 'dir/locked', 'file', 'locked', 'no/such']
  const plan = planPaths(
    names.map((name) => `${folder}/${name}`),
    from,
  )
  assert.equal(
    plan.paths.map((at) => at.toString().slice(folder.length + 1)),
    ['dir', 'dir/locked', 'file'],
  )
  assert.equal(
    plan.problems.map(({ path: at, code }) => `${at!.toString().slice(folder.length + 1)} ${code}`),
    ['closed EACCES', 'locked EACCES', 'no/such ENOENT'],
  )
  assert.throws(
    () => planPaths([`${folder}/closed`, `${folder}/locked`], from),
    (error: { code: string; message: string }) =>
      error.code === 'NOT_FOUND' && /cannot be read \(EACCES\)/.test(error.message),
  )
})

test('when no path exists the backup refuses to begin', ({ folder }) => {
  const code = (run: () => unknown): string => {
    try {
      run()
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  assert.is(
    code(() => planPaths([`${folder}/no`], files)),
    'NOT_FOUND',
  )
  assert.is(
    code(() => planPaths([], files)),
    'BAD_USAGE',
  )
})

test('an unreadable folder or a vanished file is reported and the rest goes on', ({ folder }) => {
  fs.mkdirSync(`${folder}/closed`)
  fs.writeFileSync(`${folder}/gone`, '')
  fs.writeFileSync(`${folder}/kept`, '')
  const from: SourceFiles = {
    ...files,
    readNames(at) {
      if (at.toString().endsWith('/closed')) throw systemError('EACCES')
      return files.readNames(at)
    },
    lstat(at) {
      if (at.toString().endsWith('/gone')) throw systemError('ENOENT')
      return files.lstat(at)
    },
  }
  assert.equal(list(folder, [folder], { from }), [
    'closed/',
    '! closed EACCES',
    '! gone ENOENT',
    'kept:file',
  ])
})

test('excludes: names anywhere, from the root, folders only, classes, any depth', ({ folder }) => {
  for (const name of ['a/cache/x', 'a/b/cache/y', 'a/keep.o', 'a/1.tmp', 'a/x.tmp', 'a/é.log']) {
    fs.mkdirSync(path.dirname(`${folder}/${name}`), { recursive: true })
    fs.writeFileSync(`${folder}/${name}`, '')
  }
  fs.writeFileSync(`${folder}/cache`, 'a file of that name')
  const left = list(folder, [folder], { excludes: ['cache/', '[0-9].tmp', '?.log'] })
  assert.equal(left, ['a/', 'a/b/', 'a/keep.o:file', 'a/x.tmp:file', 'cache:file'])
  assert.equal(list(folder, [folder], { excludes: [`${folder}/**/cache`, 'a/*.*'] }), [
    'a/',
    'a/b/',
  ])
  assert.throws(() => compileExcludes(['[a']), /BAD_USAGE/)
})

test('/proc is recorded as a folder and its made-up files are left alone', () => {
  const plan = planPaths(['/proc'], files)
  const kinds = [...walk(plan, { files, excludes: () => false })].map((item) => item.kind)
  assert.equal(kinds, ['folder', 'virtual', 'leave'])
})

test.run()
