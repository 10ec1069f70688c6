// test/fuzz/targets/files.ts — does a file that a person has edited ever end in a stack trace?
import * as assert from 'node:assert/strict'
import defaultConfig, { parseConfig } from '../../../config.ts'
import { formatKeyFile, parseKeyFile } from '../../../src/chunk/key-file.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import { FileManagerState } from '../../../src/server/manager-state.ts'
import { realFileSystem } from '../../../src/server/store/file-system.ts'
import { answerOf, coarse, refusalOf, type Target } from '../target.ts'

const keyFile: Target = {
  name: 'key-file',
  sizeBytesMax: 2_000,
  seeds: () => {
    const text = formatKeyFile(new Uint8Array(32).fill(7))
    const plain = text.split('\n').filter((line) => !line.startsWith('#'))
    return [Buffer.from(text), Buffer.from(plain.join('\n'))]
  },
  run(input) {
    return answerOf(
      () => parseKeyFile(input.toString('latin1'), 'FILE'),
      (master) => {
        assert.ok(parseKeyFile(formatKeyFile(master), 'FILE').equals(master))
        return 'read'
      },
    ).replace(/of version.*/s, 'of another version')
  },
}

/** A config is a module: it may hold anything, not only what JSON can say. */
const cycle: Record<string, unknown> = {}
cycle.self = cycle
const ODDITIES: Readonly<Record<string, unknown>> = {
  '@bigint': 7400n,
  '@cycle': cycle,
  '@function': () => 1,
  '@symbol': Symbol('port'),
  '@nan': Number.NaN,
  '@date': new Date(0),
  '@map': new Map([['port', 1]]),
  '@undefined': undefined,
  '@bare': Object.create(null),
}

const revive = (_: string, value: unknown): unknown =>
  typeof value === 'string' && Object.hasOwn(ODDITIES, value) ? ODDITIES[value] : value

const config: Target = {
  name: 'config',
  sizeBytesMax: 3_000,
  seeds: () => {
    const json = JSON.stringify(defaultConfig)
    const odd = Object.keys(ODDITIES).map((name) => json.replace('7401', JSON.stringify(name)))
    const limits = { timing: { heartbeatMs: 100 }, limits: { reserveBytes: 0 }, replicas: 3 }
    return [json, ...odd, JSON.stringify({ ...defaultConfig, ...limits }), '[]', '7'].map((text) =>
      Buffer.from(text),
    )
  },
  run(input) {
    let raw: unknown
    try {
      raw = JSON.parse(input.toString(), revive)
    } catch {
      return 'no JSON'
    }
    try {
      parseConfig(raw, { folder: '/', source: 'FILE' })
      return 'read'
    } catch (error) {
      assert.ok(isHoldfastError(error, 'BAD_CONFIG'), String(error))
      // The first mistake: where in the shape it is, and what is allowed there.
      const [, line = ''] = error.detail.split('\n')
      const allowed = line.slice(line.lastIndexOf('; ') + 1, 200).replace(/^.*allowed: /, '')
      return `${error.detail.split('\n').length} ${coarse(allowed).slice(0, 40)}`
    }
  },
}

const position = { version: 1, clusterId: 'cd'.repeat(16), epoch: 1, operation: 2 }

const managerState: Target = {
  name: 'manager-state',
  sizeBytesMax: 500,
  seeds: () => [Buffer.from(JSON.stringify(position)), Buffer.from('null'), Buffer.from('3')],
  async run(input) {
    const full = (): never => {
      throw new Error('the disk is full')
    }
    const fs = { ...realFileSystem, readSmall: async () => input, remove: full, create: full }
    try {
      const state = await FileManagerState.open({ fs, path: 'FILE', nowMs: () => 0 })
      const words = await state.note({ ...position, epoch: 2 ** 53 - 1 })
      return `read ${coarse(words ?? '')}`
    } catch (error) {
      return refusalOf(error)
    }
  },
}

export const fileTargets: readonly Target[] = [keyFile, config, managerState]
