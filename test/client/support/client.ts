// test/client/support/client.ts — a whole engine in front of a cluster that does what a test says
import { deriveKeys } from '../../../src/chunk/index.ts'
import { Client } from '../../../src/client/client.ts'
import type { SourceFiles } from '../../../src/client/source/files.ts'
import type { FakeCluster } from './fake-cluster.ts'
import { QUICK_TIMING, realClock } from './world.ts'

export const keys = deriveKeys(Buffer.alloc(32, 7))

export const openClient = (cluster: FakeCluster, files?: SourceFiles): Client =>
  new Client({
    peers: cluster.peers,
    manager: cluster.manager,
    clock: realClock,
    clientName: 'one',
    dataDir: '/nonexistent',
    keys,
    timing: QUICK_TIMING,
    ...(files && { files }),
  })
