// test/client/os/native.test.ts — are times kept to the nanosecond, and owners and devices set?
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  openNativeFiles,
  packDevice,
  plainFiles,
  unpackDevice,
} from '../../../src/client/os/native.ts'

const test = suite<{ folder: string }>('client os')
const native = openNativeFiles()
const linux = process.platform === 'linux' ? test : test.skip

test.before.each((context) => {
  context.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-os-'))
})
test.after.each(({ folder }) => fs.rmSync(folder, { recursive: true, force: true }))

linux('mtimes keep their nanoseconds, before 1970 too, on odd names and on links', ({ folder }) => {
  const file = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x0a])])
  fs.writeFileSync(file, '')
  const link = Buffer.from(`${folder}/link`)
  fs.symlinkSync('nowhere', link)
  for (const mtimeNs of [1_700_000_000_123_456_789n, 0n, -1n, -5_000_000_001n]) {
    for (const at of [file, link]) {
      native.setMtimeNs(at, mtimeNs)
      assert.is(fs.lstatSync(at, { bigint: true }).mtimeNs, mtimeNs)
    }
  }
})

linux('a failed call says why, as Node would', ({ folder }) => {
  try {
    native.setMtimeNs(Buffer.from(`${folder}/absent`), 0n)
    assert.unreachable()
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOENT')
  }
})

linux('holes of a sparse file are found, and a fifo comes back', ({ folder }) => {
  const fd = fs.openSync(`${folder}/sparse`, 'w+')
  fs.writeSync(fd, 'end', 8 * 2 ** 20)
  const start = native.seekData(fd, 0)
  assert.ok(start !== null && start > 2 ** 20, `data at ${start}`)
  assert.is(native.seekHole(fd, 8 * 2 ** 20), 8 * 2 ** 20 + 3)
  assert.is(native.seekData(fd, 9 * 2 ** 20), null)
  fs.closeSync(fd)
  native.makeNode(Buffer.from(`${folder}/pipe`), 'fifo', { major: 0, minor: 0 })
  assert.ok(fs.lstatSync(`${folder}/pipe`).isFIFO())
})

test('device numbers survive packing', () => {
  const pairs = [
    [0, 0],
    [8, 1],
    [259, 300],
    [4095, 255],
    [0xfffff, 0xfffff],
  ] as const
  for (const [major, minor] of pairs) {
    assert.equal(unpackDevice(packDevice({ major, minor })), { major, minor })
  }
  assert.is(packDevice({ major: 8, minor: 1 }), 0x801n)
})

test('without native calls the loss is named and times stay right to the microsecond', ({
  folder,
}) => {
  assert.ok(plainFiles.dropped.length > 0)
  fs.writeFileSync(`${folder}/file`, '')
  plainFiles.setMtimeNs(Buffer.from(`${folder}/file`), 1_700_000_000_123_456_789n)
  const { mtimeNs } = fs.statSync(`${folder}/file`, { bigint: true })
  assert.ok(mtimeNs > 1_700_000_000_123_450_000n && mtimeNs < 1_700_000_000_123_460_000n)
})

test.run()
