// test/rpc/cbor.test.ts — do messages mean the same to whoever reads them?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeCbor, encodeCbor } from '../../src/rpc/cbor.ts'

const test = suite('rpc: CBOR')

test('text that is not UTF-8 is refused: two spellings would read as one name', () => {
  for (const hex of ['61ff', 'a161fff6', '8162c328', '63eda080']) {
    const decoded = decodeCbor(Buffer.from(hex, 'hex'))
    assert.equal(decoded, { ok: false, defect: 'CBOR: text that is not UTF-8' }, hex)
  }
  assert.equal(decodeCbor(encodeCbor({ ä: '\u{1f5c4}' })), { ok: true, value: { ä: '\u{1f5c4}' } })
})

test('a map with more keys than any message has fields is refused before it is made', () => {
  const mapOf = (keys: number) =>
    encodeCbor(Object.fromEntries(Array.from({ length: keys }, (_, i) => [`key ${i}`, i])))
  assert.ok(decodeCbor(mapOf(64)).ok)
  assert.equal(decodeCbor(mapOf(65)), { ok: false, defect: 'CBOR: a map of 65 keys' })
})

test.run()
