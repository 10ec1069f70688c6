// src/chunk/key-file.ts — where does the repository key live, and how is it never half a key?
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, mkdir, open, unlink } from 'node:fs/promises'
import path from 'node:path'
import { HoldfastError } from '../errors.ts'
import { deriveKeys, MASTER_KEY_BYTES, type RepositoryKeys } from './keys.ts'

const FILE_BYTES_MAX = 64 * 1024
const VERSION = '1'
/** plain: the master key itself. Others (wrapped by a passphrase) will have fields of their own. */
const KIND = 'plain'
const CHECKSUM_DIGITS = 16

/** The keys in the file, or null when there is none. BAD_FILE names the file and says what to do
 * when others may read it, when it is damaged or made by a newer version. */
export async function readKeyFile(filePath: string): Promise<RepositoryKeys | null> {
  let file: FileHandle
  try {
    // A FIFO in its place must not hang us.
    file = await open(filePath, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw badFile(filePath, `cannot be read (${codeOf(cause)})`, cause)
  }
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw badFile(filePath, 'is no regular file')
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8)
      throw badFile(filePath, `has mode ${mode}, so others may read the key; chmod 600 it`)
    }
    if (stat.size > FILE_BYTES_MAX) throw badFile(filePath, 'is too large to be a key file')
    return deriveKeys(parseKeyFile(await file.readFile('latin1'), filePath))
  } finally {
    await file.close()
  }
}

/** Makes the file with a new random key, or reads the one that is there: processes that come at
 * once all end with the same key. Complete and on disk when it resolves; whatever dies meanwhile,
 * the file is whole or absent. BAD_FILE as `readKeyFile`, STORAGE_FAILED when it cannot be made. */
export async function createKeyFile(filePath: string): Promise<RepositoryKeys> {
  const existing = await readKeyFile(filePath)
  if (existing) return existing
  const folder = path.dirname(filePath)
  const draft = path.join(folder, `.${path.basename(filePath)}.${randomBytes(8).toString('hex')}`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeDurably(draft, formatKeyFile(randomBytes(MASTER_KEY_BYTES)))
    try {
      await link(draft, filePath) // Unlike rename it never replaces: the first one wins.
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    } finally {
      await unlink(draft)
    }
    await syncFolder(folder)
  } catch (cause) {
    const detail = `cannot make the key file ${filePath} (${codeOf(cause)}); nothing was stored`
    throw new HoldfastError('STORAGE_FAILED', detail, { cause })
  }
  const keys = await readKeyFile(filePath)
  if (keys) return keys
  throw badFile(filePath, 'vanished while it was made')
}

/** The text of a key file. */
export function formatKeyFile(master: Uint8Array): string {
  const { repositoryId } = deriveKeys(master)
  const fields = [
    `version: ${VERSION}`,
    `kind: ${KIND}`,
    `repository: ${repositoryId}`,
    `key: ${Buffer.from(master).toString('hex')}`,
  ]
  return [
    '# holdfast repository key: KEEP A COPY OF THIS FILE somewhere else.',
    '#',
    '# Without it nobody can restore anything from this repository, and nobody can make it again.',
    '# With it everything in the repository can be read, so keep the copy where only you get at it:',
    '# on a USB stick in a drawer, in a password manager, or printed on paper.',
    '# Lines that begin with # do not matter, nor do spaces around lines.',
    '',
    ...fields,
    `checksum: ${checksum(fields)}`,
    '',
  ].join('\n')
}

/** The master key in the text of a key file. Throws BAD_FILE naming `filePath`. */
export function parseKeyFile(text: string, filePath: string): Buffer {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const fields = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([a-z]+): *(\S+)$/.exec(line) ?? []
    if (!name || !value || fields.has(name)) throw damaged(filePath, 'a line has another shape')
    fields.set(name, value)
  }
  const version = fields.get('version')
  const kind = fields.get('kind')
  if (!version || !kind) throw damaged(filePath, 'it does not begin like a key file')
  if (version !== VERSION || kind !== KIND) {
    const what = `is of version ${version}, kind ${kind}`
    throw badFile(filePath, `${what}, which this holdfast does not know; use a newer one`)
  }
  const covered = [...fields].slice(0, -1).map(([name, value]) => `${name}: ${value}`)
  const hasAll = [...fields.keys()].join() === 'version,kind,repository,key,checksum'
  if (!hasAll) throw damaged(filePath, 'a field is missing, unknown or out of order')
  if (checksum(covered) !== fields.get('checksum')) throw damaged(filePath, 'its checksum differs')
  const key = fields.get('key')!
  if (!/^[0-9a-f]{64}$/.test(key)) throw damaged(filePath, 'the key is not 64 hex digits')
  const master = Buffer.from(key, 'hex')
  if (deriveKeys(master).repositoryId !== fields.get('repository')) {
    throw damaged(filePath, 'the key is not that of the repository it names')
  }
  return master
}

// Against slips of pen and disk, not against people.
function checksum(fields: readonly string[]): string {
  const text = fields.map((field) => `${field}\n`).join('')
  return createHash('sha256').update(text).digest('hex').slice(0, CHECKSUM_DIGITS)
}

async function writeDurably(filePath: string, text: string): Promise<void> {
  const file = await open(filePath, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error)

const badFile = (filePath: string, problem: string, cause?: unknown): HoldfastError =>
  new HoldfastError('BAD_FILE', `the key file ${filePath} ${problem}`, { cause })

const damaged = (filePath: string, problem: string): HoldfastError =>
  badFile(filePath, `is damaged (${problem}); put your copy of it in its place`)
