// test/server/support/crash-child.ts — two servers with real disks in a process that gets killed
//
// node crash-child.ts FOLDER SEED BLOBS [FAILPOINT NTH]
// Stores blobs through server 1 and 2 in turn and prints `stored ID` when the client hears so.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { failpointFrom, type ReachFailpoint } from '../../../src/server/failpoints.ts'
import { DiskStore } from '../../../src/server/store/disk-store.ts'
import { crashBlob } from './blobs.ts'
import { realClock } from './virtual-clock.ts'
import { World } from './world.ts'

const [folder = '', seed = '0', blobs = '0', failpoint = '', nth = '1'] = process.argv.slice(2)

let left = Number(nth)
const kill = failpointFrom(failpoint)
const reach: ReachFailpoint = (point) => {
  if (point !== failpoint) return
  left -= 1
  if (left === 0) kill(point)
}

const world = new World(realClock)
world.startManager()
await mkdir(folder, { recursive: true })
for (const number of [1, 2]) {
  const { store } = await DiskStore.open({
    folder: join(folder, `server-${number}`),
    reserveBytes: 0,
    nowMs: realClock.nowMs,
    reach,
  })
  const server = await world.startServer(number, { store, reach })
  await server.ready
}
console.log('ready')
const all = Array.from({ length: Number(blobs) }, (_, place) => place)
const storeSome = async (): Promise<void> => {
  for (let place = all.shift(); place !== undefined; place = all.shift()) {
    const blob = crashBlob(Number(seed), place)
    await world.store(1 + (place % 2), blob)
    console.log(`stored ${blob.blobId}`)
  }
}
await Promise.all([storeSome(), storeSome(), storeSome()])
await world.close()
console.log('done')
process.exit(0)
