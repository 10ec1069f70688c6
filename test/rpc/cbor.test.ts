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

test.run()
