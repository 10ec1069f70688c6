// test/fuzz/fuzz.test.ts — has any byte string an answer? A few thousand each; `npm run fuzz` tries more.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chosenSeed } from '../sim/random.ts'
import { corpusNames } from './corpus.ts'
import { Fuzzer } from './fuzzer.ts'
import { TARGETS } from './targets/index.ts'

const INPUTS_DEFAULT = 2_000

const seed = chosenSeed()
const test = suite(`fuzz, replay with SEED=${seed}`)

test('every folder of the corpus belongs to a target', () => {
  const names = TARGETS.map(({ name }) => name)
  assert.is(new Set(names).size, names.length)
  assert.equal(
    corpusNames().filter((name) => !names.includes(name)),
    [],
  )
})

for (const target of TARGETS) {
  test(`${target.name}: any bytes give a value or a coded error, in time`, async () => {
    const fuzzer = new Fuzzer({ target, seed })
    await fuzzer.replay()
    const known = fuzzer.inputs
    const inputs = target.inputsInTest ?? INPUTS_DEFAULT
    await fuzzer.run(() => fuzzer.inputs - known >= inputs)
    assert.ok(fuzzer.outcomes >= 2, 'one outcome for everything tells nothing')
  })
}

test.run()
