// test/fuzz/targets/index.ts — which decoders are fuzzed?
import type { Target } from '../target.ts'
import { chunkTargets } from './chunk.ts'
import { fileTargets } from './files.ts'
import { frameTargets } from './frames.ts'
import { handshakeTargets } from './handshake.ts'
import { identityTargets } from './identity.ts'
import { modelTargets } from './models.ts'
import { packetTargets } from './packets.ts'
import { perfTargets } from './perf.ts'
import { rpcTargets } from './rpc.ts'
import { treeTargets } from './tree.ts'

export const TARGETS: readonly Target[] = [
  ...frameTargets,
  ...packetTargets,
  ...handshakeTargets,
  ...modelTargets,
  ...rpcTargets,
  ...perfTargets,
  ...identityTargets,
  ...chunkTargets,
  ...treeTargets,
  ...fileTargets,
]
