// test/protocol/connection/deadlines.test.ts — is the first of many deadlines always the first?
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Deadlines } from '../../../protocol/connection/deadlines.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`protocol: deadlines, replay with SEED=${seed}`)

test('a connection that is due is never passed over, however often deadlines move', () => {
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom('set', 'set', 'set', 'never', 'delete', 'take'),
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 0, max: 50 }),
    ),
    { maxLength: 400 },
  )
  fc.assert(
    fc.property(steps, (list) => {
      const deadlines = new Deadlines<number>()
      const plain = new Map<number, number>()
      for (const [what, owner, dueMs] of list) {
        if (what === 'delete') {
          deadlines.delete(owner)
          plain.delete(owner)
        } else if (what === 'take') {
          const taken = deadlines.takeDue(dueMs)
          if (taken !== null) assert.is(plain.get(taken), Math.min(...plain.values()))
          if (taken === null) assert.ok([...plain.values()].every((due) => due > dueMs))
          else plain.delete(taken)
        } else {
          const toMs = what === 'never' ? Number.POSITIVE_INFINITY : dueMs
          deadlines.set(owner, toMs)
          plain.set(owner, toMs)
        }
        assert.is(deadlines.firstMs, Math.min(Number.POSITIVE_INFINITY, ...plain.values()))
      }
    }),
    { seed, numRuns: 300 },
  )
})

test.run()
