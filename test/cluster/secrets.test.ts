// test/cluster/secrets.test.ts — what can be read by those who watch the wire, the logs or the processes?
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkId, readKeyFile } from '../../src/chunk/index.ts'
import { capturing, portsOf } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import { whyNoCapture } from '../support/pcap.ts'
import { testUnless } from '../support/skip.ts'

const test = suite('cluster: secrets')

const NAME = 'diary-of-an-otter.txt'
const FOLDER = 'letters-to-nobody'
/** Compresses to nothing: what is looked for must not be hidden by that alone. */
const CONTENT = Buffer.from(
  'the otter wrote this sentence once, and here it stands again. '.repeat(40),
)

/** Every secret below the data folder, by the file that holds it: hex keys and seeds. */
async function secretsIn(data: string): Promise<Map<string, string>> {
  const secrets = new Map<string, string>()
  for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const isSecret = entry.name.endsWith('.key') || path.endsWith('cluster/cluster.json')
    if (!entry.isFile() || !isSecret) continue
    const text = await readFile(path, 'utf8')
    const named = text.match(/"joinSecret":\s*"([0-9a-f]{64})"/)?.[1]
    const found = entry.name.endsWith('.key') ? text.match(/\b[0-9a-f]{64}\b/g) : [named ?? '']
    for (const hex of found ?? []) if (hex) secrets.set(hex, path.slice(data.length + 1))
  }
  return secrets
}

/** Where one of these stands, as hex digits, Base64 or raw bytes. */
function foundIn(haystack: Buffer, secrets: ReadonlyMap<string, string>): string[] {
  return [...secrets].flatMap(([hex, from]) => {
    const bytes = Buffer.from(hex, 'hex')
    const base64 = bytes.toString('base64').slice(0, 40)
    const forms = [bytes, Buffer.from(hex), Buffer.from(base64), Buffer.from(hex.toUpperCase())]
    return forms.some((form) => haystack.includes(form)) ? [from] : []
  })
}

async function writeSource(cluster: Cluster): Promise<string> {
  const source = join(cluster.folder, FOLDER)
  await mkdir(source)
  await writeFile(join(source, NAME), CONTENT)
  return source
}

/** The words and the environment of every process of this cluster, as others on the machine or in
 * its crash reports would see them. */
async function processWords(cluster: Cluster): Promise<Buffer> {
  const words = cluster.nodeNames.map((name) => readFile(`/proc/${cluster.pidOf(name)}/cmdline`))
  return Buffer.concat(await Promise.all(words))
}

test('no key is in a log, a message, the words of a process or the catalog, with DEBUG=*', async () => {
  const before = process.env.DEBUG
  process.env.DEBUG = '*'
  const cluster = await Cluster.start({ servers: 3 })
  try {
    const source = await writeSource(cluster)
    const said: string[] = []
    const run = async (words: string[]): Promise<void> => {
      const { exitCode, stdout, stderr } = await cluster.run(words)
      said.push(stdout, stderr)
      assert.is(exitCode, 0, stderr.slice(-2_000))
    }
    await run(['backup', source, '--verbose'])
    await run(['restore', 'latest', '--target', join(cluster.folder, 'back')])
    await run(['status'])
    await run(['rotate-key'])
    await run(['snapshots', '--json'])
    const processes = await processWords(cluster)
    await cluster.kill('manager', 'SIGTERM')
    const secrets = await secretsIn(cluster.data)
    assert.ok(secrets.size >= 8, `${secrets.size} secrets are known`)
    const places: [string, Buffer][] = [
      ['what commands said', Buffer.from(said.join(''))],
      ['the words of processes', processes],
    ]
    for (const name of cluster.nodeNames) {
      places.push([`the log of ${name}`, Buffer.from(await cluster.log(name))])
    }
    for (const name of await readdir(join(cluster.data, 'manager'))) {
      if (!name.startsWith('catalog')) continue
      places.push([name, await readFile(join(cluster.data, 'manager', name))])
    }
    for (const [place, bytes] of places) {
      assert.equal(foundIn(bytes, secrets), [], place)
      const isCatalog = place.startsWith('catalog')
      if (isCatalog) assert.not(bytes.includes(NAME), `${place} knows a name`)
    }
    assert.ok(places.some(([place, bytes]) => place.startsWith('catalog') && bytes.length > 4_096))
    assert.ok(said.join('').length > 200 && (await cluster.log('server-1')).length > 200)
  } finally {
    if (before === undefined) delete process.env.DEBUG
    else process.env.DEBUG = before
    await cluster.stop()
  }
})

testUnless(test, whyNoCapture())(
  'a captured backup shows no name, no content, and no id of known content',
  async () => {
    const cluster = await Cluster.start({ servers: 2 })
    try {
      const source = await writeSource(cluster)
      const path = join(cluster.folder, 'backup.pcap')
      const dumpcap = await capturing(path, portsOf(cluster))
      const backup = await cluster.run(['backup', source, '--json'])
      assert.is(backup.exitCode, 0, backup.stderr)
      const back = join(cluster.folder, 'back')
      const restore = await cluster.run(['restore', 'latest', '--target', back])
      assert.is(restore.exitCode, 0, restore.stderr)
      dumpcap.kill('SIGINT')
      await once(dumpcap, 'exit')
      const keys = await readKeyFile(join(cluster.data, 'repository.key'))
      assert.ok(keys)
      const id = chunkId(keys, CONTENT)
      const captured = await readFile(path)
      assert.ok(captured.length > 20_000, `${captured.length} bytes were captured`)
      const snapshot = String(backup.objects.find(({ type }) => type === 'summary')?.snapshot)
      const plain: [string, string | Buffer][] = [
        ['a file name', NAME],
        ['a folder name', FOLDER],
        ['the content', CONTENT.subarray(0, 40)],
        ['a chunk id', id],
        ['a chunk id in bytes', Buffer.from(id, 'hex')],
        ['a snapshot id', snapshot],
        ['a snapshot id in bytes', Buffer.from(snapshot, 'hex')],
        ['a method of a request', 'snapshot.commit'],
        ['a name of a node', 'server-1'],
      ]
      for (const [what, bytes] of plain) assert.not(captured.includes(bytes), what)
      assert.equal(foundIn(captured, await secretsIn(cluster.data)), [])
    } finally {
      await cluster.stop()
    }
  },
)

test.run()
