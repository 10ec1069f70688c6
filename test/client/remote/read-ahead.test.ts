// test/client/remote/read-ahead.test.ts — does a walk through a stored tree wait for each folder?
import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type TreeEntry, TreeWriter } from '../../../src/chunk/index.ts'
import { ReadAhead } from '../../../src/client/remote/read-ahead.ts'
import { prng } from '../support/world.ts'

const test = suite('client read-ahead')
const SEED = Number(process.env.SEED ?? 7)
console.log(`read-ahead: SEED=${SEED}`)

const folder = (name: string, subtree: string): TreeEntry => ({
  name: Buffer.from(name),
  type: 'dir',
  mode: 0o755,
  uid: 0,
  gid: 0,
  user: Buffer.alloc(0),
  group: Buffer.alloc(0),
  mtimeNs: 0n,
  ctimeNs: 0n,
  inode: 1n,
  size: 0,
  target: null,
  hardlink: null,
  device: null,
  holes: [],
  chunks: [],
  list: null,
  subtree,
  xattrs: [],
})

/** A tree of folders whose nodes come in rounds: what was asked for since the last one, at once. */
class World {
  readonly nodes = new Map<string, Buffer>()
  readonly below = new Map<string, string[]>()
  rounds = 0
  loads = 0
  #round: (() => void)[] = []

  add(subfolders: readonly string[], label = ''): string {
    let id = ''
    const writer = new TreeWriter((node) => {
      id = createHash('sha256').update(node).digest('hex')
      this.nodes.set(id, Buffer.from(node))
      return id
    })
    for (const [at, below] of subfolders.entries()) {
      writer.add(folder(`${String(at).padStart(6, '0')}${label}`, below))
    }
    const root = writer.finish()
    this.below.set(root, [...subfolders])
    return root
  }

  ahead(root: string, bytesMax: number): ReadAhead {
    return new ReadAhead(root, { bytesMax, load: this.load, defer: (run) => setImmediate(run) })
  }

  readonly load = (id: string): Promise<Uint8Array> => {
    this.loads += 1
    return new Promise((resolve) => {
      this.#round.push(() => resolve(this.nodes.get(id)!))
      if (this.#round.length > 1) return
      setTimeout(() => {
        const round = this.#round
        this.#round = []
        this.rounds += 1
        for (const answer of round) answer()
      }, 2)
    })
  }

  /** In the order of the tree; leaves out the nodes of which `skip` says so. */
  async walk(ahead: ReadAhead, id: string, skip: () => boolean = () => false): Promise<number> {
    const node = await (ahead.take(id) ?? this.load(id))
    assert.equal(Buffer.from(node), this.nodes.get(id))
    let count = 1
    for (const below of this.below.get(id)!) {
      if (!skip()) count += await this.walk(ahead, below, skip)
    }
    return count
  }
}

/** Folders of `width` folders, `depth` deep; only the empty ones at the bottom are alike. */
function build(world: World, width: number, depth: number, path = ''): string {
  const names = depth === 0 ? [] : Array.from({ length: width }, (_, at) => `${path}-${at}`)
  const label = depth === 1 ? `${path} leaf` : path
  return world.add(
    names.map((name) => build(world, width, depth - 1, name)),
    label,
  )
}

test('four thousand folders come in a few dozen rounds, not one by one', async () => {
  const world = new World()
  const root = build(world, 4, 6)
  const count = await world.walk(world.ahead(root, 2 ** 23), root)
  assert.is(count, (4 ** 7 - 1) / 3)
  assert.ok(world.rounds < 120, `${world.rounds} rounds for ${count} folders`)
})

test('a small budget costs more rounds, and nothing is loaded for ever', async () => {
  const world = new World()
  const root = build(world, 8, 3)
  const count = await world.walk(world.ahead(root, 8_000), root)
  assert.is(count, (8 ** 4 - 1) / 7)
  assert.ok(world.loads < 3 * count, `${world.loads} loads for ${count} folders`)
})

test('a walk that leaves parts out still gets what it asks for', async () => {
  const random = prng(SEED)
  for (let round = 0; round < 5; round += 1) {
    const world = new World()
    const root = build(world, 5, 4)
    const ahead = world.ahead(root, round % 2 ? 20_000 : 2 ** 20)
    const count = await world.walk(ahead, root, () => random.below(3) === 0)
    assert.ok(count > 0)
  }
})

test('one node in many places, as empty folders have, is found in each', async () => {
  const world = new World()
  const empty = world.add([])
  const pair = world.add([empty, world.add([empty, empty], 'inner'), empty], 'pair')
  const root = world.add([empty, pair, empty, pair], 'root')
  assert.is(await world.walk(world.ahead(root, 2 ** 20), root), 15)
})

test('a node that cannot be loaded fails for the one who reads it, and the rest goes on', async () => {
  const world = new World()
  const [good, bad] = [world.add([], 'good'), world.add([world.add([])], 'bad')]
  const root = world.add([bad, good], 'root')
  const load = (id: string): Promise<Uint8Array> =>
    id === bad ? Promise.reject(new Error('lost')) : world.load(id)
  const ahead = new ReadAhead(root, { bytesMax: 2 ** 20, load, defer: (run) => setImmediate(run) })
  await ahead.take(root)
  const failure = await ahead.take(bad)!.then(
    () => 'none',
    (error: Error) => error.message,
  )
  assert.is(failure, 'lost')
  assert.equal(Buffer.from((await ahead.take(good))!), world.nodes.get(good))
})

test.run()
