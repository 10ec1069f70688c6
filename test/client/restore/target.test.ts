// test/client/restore/target.test.ts — does a restore stay inside its target, whatever lies there?
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openNativeFiles } from '../../../src/client/os/native.ts'
import { TargetEntry } from '../../../src/client/restore/target-entry.ts'
import { type TargetFolder, TargetFolders } from '../../../src/client/restore/target-folders.ts'

type World = {
  folder: string
  outside: string
  folders: TargetFolders
  target: TargetFolder
  problems: string[]
}
const test = suite<World>('client restore target')
const native = openNativeFiles()
const METADATA = { mode: 0o640, uid: 0, gid: 0, mtimeNs: 1_600_000_000_123_456_789n }

test.before.each((context) => {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-target-'))
  context.folder = `${base}/target`
  context.outside = `${base}/outside`
  fs.mkdirSync(context.outside)
  context.problems = []
  context.folders = new TargetFolders(native, (at, error) =>
    context.problems.push(`${at} ${(error as { code: string }).code}`),
  )
  context.target = context.folders.openTarget(Buffer.from(context.folder))
})
test.after.each(({ folder }) => fs.rmSync(path.dirname(folder), { recursive: true, force: true }))

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}

function write({ folders }: World, folder: TargetFolder, name: string, text: string): void {
  const part = new TargetEntry(folders, folder, Buffer.from(name)).createFile(text.length)
  part.writeAt(Buffer.from(text), 0)
  part.finish(METADATA)
}

test('a file appears complete, with mode and ns mtime; a killed restore leaves no trace', (world) => {
  const entry = new TargetEntry(world.folders, world.target, Buffer.from('file'))
  entry.createFile(4).writeAt(Buffer.from('hal'), 0) // and then it was killed
  assert.equal(fs.readdirSync(world.folder).length, 1)
  write(world, world.target, 'file', 'half')
  assert.equal(fs.readdirSync(world.folder), ['file'])
  const stat = fs.lstatSync(`${world.folder}/file`, { bigint: true })
  assert.is(stat.mtimeNs, METADATA.mtimeNs)
  assert.is(Number(stat.mode) & 0o7777, 0o640)
  assert.is(fs.readFileSync(`${world.folder}/file`, 'utf8'), 'half')
})

test('a symlink planted in the target is not followed out of it', (world) => {
  fs.symlinkSync(world.outside, `${world.folder}/home`)
  const enter = (): unknown => world.folders.enter(world.target, Buffer.from('home'), METADATA)
  assert.is(codeOf(enter), 'ELOOP')
  fs.writeFileSync(`${world.outside}/victim`, 'precious')
  fs.symlinkSync(`${world.outside}/victim`, `${world.folder}/file`)
  write(world, world.target, 'file', 'restored')
  assert.is(fs.readFileSync(`${world.outside}/victim`, 'utf8'), 'precious')
  assert.ok(fs.lstatSync(`${world.folder}/file`).isFile())
})

test('a folder exchanged for a symlink during the restore leads nowhere', (world) => {
  const inner = world.folders.enter(world.target, Buffer.from('inner'), METADATA)
  fs.renameSync(`${world.folder}/inner`, `${world.folder}/moved`)
  fs.symlinkSync(world.outside, `${world.folder}/inner`)
  try {
    write(world, inner, 'file', 'text')
  } catch {
    // Where there is no /proc the exchange is noticed instead.
  }
  world.folders.release(inner)
  assert.equal(fs.readdirSync(world.outside), [])
})

test('a file in the place of a folder, and the reverse, is an error of that entry alone', (world) => {
  fs.writeFileSync(`${world.folder}/a`, 'mine')
  fs.mkdirSync(`${world.folder}/b/c`, { recursive: true })
  assert.is(
    codeOf(() => world.folders.enter(world.target, Buffer.from('a'), METADATA)),
    'ENOTDIR',
  )
  assert.is(
    codeOf(() => write(world, world.target, 'b', 'text')),
    'EISDIR',
  )
  assert.equal(fs.readdirSync(world.folder).sort(), ['a', 'b'])
})

test('folder times are set after what happens inside, whatever the order of ends', (world) => {
  const outer = world.folders.enter(world.target, Buffer.from('outer'), {
    ...METADATA,
    mode: 0o555,
  })
  const inner = world.folders.enter(outer, Buffer.from('inner'), METADATA)
  inner.pending += 1 // a file under way
  world.folders.release(inner)
  world.folders.release(outer)
  write(world, inner, 'late', 'text')
  world.folders.release(inner)
  for (const name of ['outer', 'outer/inner']) {
    assert.is(fs.statSync(`${world.folder}/${name}`, { bigint: true }).mtimeNs, METADATA.mtimeNs)
  }
  assert.is(fs.statSync(`${world.folder}/outer`).mode & 0o7777, 0o555)
  assert.is(world.folders.open, 1, 'only the target is still open')
  assert.equal(world.problems, [])
})

test('hard links, symlinks and fifos come back as what they were', (world) => {
  write(world, world.target, 'first', 'text')
  const entry = (name: string): TargetEntry =>
    new TargetEntry(world.folders, world.target, Buffer.from(name))
  const first = entry('first').identity()
  entry('second').putLink(first)
  entry('second').putLink(first) // a second restore over the first
  entry('link').putSymlink(Buffer.from([0xff]), METADATA)
  entry('link').putSymlink(Buffer.from([0xff]), METADATA)
  entry('pipe').putNode('fifo', { major: 0, minor: 0 }, METADATA, native)
  assert.is(fs.statSync(`${world.folder}/first`).nlink, 2)
  const target = fs.readlinkSync(`${world.folder}/link`, { encoding: 'buffer' })
  assert.equal(target, Buffer.from([0xff]))
  assert.is(fs.lstatSync(`${world.folder}/link`, { bigint: true }).mtimeNs, METADATA.mtimeNs)
  assert.ok(fs.lstatSync(`${world.folder}/pipe`).isFIFO())
  assert.equal(fs.readdirSync(world.folder).sort(), ['first', 'link', 'pipe', 'second'])
})

test('a first name that was exchanged is not linked to', (world) => {
  write(world, world.target, 'first', 'text')
  const first = new TargetEntry(world.folders, world.target, Buffer.from('first')).identity()
  fs.writeFileSync(`${world.folder}/other`, 'other')
  fs.renameSync(`${world.folder}/other`, `${world.folder}/first`)
  const second = new TargetEntry(world.folders, world.target, Buffer.from('second'))
  assert.is(
    codeOf(() => second.putLink(first)),
    'ELOOP',
  )
  assert.not.ok(fs.existsSync(`${world.folder}/second`))
})

test.run()
