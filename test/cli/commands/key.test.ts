// test/cli/commands/key.test.ts — does a wrong copy of the key get told apart from the right one?
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runKey } from '../../../src/cli/commands/key.ts'
import { Output } from '../../../src/cli/output.ts'
import type { Settings } from '../../../src/cli/settings.ts'
import { isHoldfastError } from '../../../src/errors.ts'

const test = suite<{ folder: string }>('cli: key')
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'holdfast-key-'))
})
test.after.each(({ folder }) => rmSync(folder, { recursive: true }))

test('a file that is no key is named by its own name, and nothing is left behind', async ({
  folder,
}) => {
  const dataDir = join(folder, 'data')
  const file = join(folder, 'notes.txt')
  writeFileSync(file, 'no key at all\n')
  const settings = { dataDir } as Settings
  const output = new Output({ isJson: true, isVerbose: false })
  const error = await runKey(settings, output, ['import', file]).catch((problem) => problem)
  assert.ok(isHoldfastError(error, 'BAD_FILE'))
  assert.match(error.detail, `the key file ${file} is damaged`)
  assert.not.match(error.detail, dataDir)
  assert.not.ok(existsSync(join(dataDir, 'repository.key')))
  assert.equal(readdirSync(dataDir), [])
})

test.run()
