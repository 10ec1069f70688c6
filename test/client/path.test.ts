// test/client/path.test.ts — what do names and paths cost while they wait?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { bytesOfLatin1, joinPath, keptBytes } from '../../src/client/path.ts'

const test = suite('client path')

test('a name that is kept does not keep the content of files alive', () => {
  const name = Buffer.from('name')
  const made: [Buffer, string][] = []
  const slabs = new Map<ArrayBufferLike, number>()
  for (let at = 0; at < 1_000; at += 1) {
    const content = Buffer.allocUnsafe(2_000) // from Node's pool, as most small buffers are
    content.fill(0xff)
    made.push([keptBytes(name), 'name'])
    made.push([bytesOfLatin1(`n\xe4me ${at}`), `n\xe4me ${at}`])
    made.push([joinPath(made.at(-1)![0], name), `n\xe4me ${at}/name`])
  }
  for (const [bytes, text] of made) {
    assert.is(bytes.toString('latin1'), text)
    slabs.set(bytes.buffer, bytes.buffer.byteLength)
  }
  const heldBytes = [...slabs.values()].reduce((sum, bytes) => sum + bytes, 0)
  const ownBytes = made.reduce((sum, [bytes]) => sum + bytes.length, 0)
  assert.ok(heldBytes < 2 * ownBytes + 16_384, `${heldBytes} bytes held for ${ownBytes}`)
})

test('a long path has room of its own', () => {
  const long = Buffer.alloc(5_000, 'x')
  assert.is(joinPath(Buffer.from('/'), long).length, 5_001)
  assert.equal(keptBytes(long), long)
})

test.run()
