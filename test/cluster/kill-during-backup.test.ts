// test/cluster/kill-during-backup.test.ts — is anything lost when a node dies while data moves?
//
// Real processes, SIGKILL at random moments of a backup under way. Each round: new files, a backup,
// a kill, the backup's own verdict, the node started again (a manager mostly while the backup still
// waits for it), the same command once more, and the restored files compared. At the end every
// snapshot that was ever called stored is restored again.
import { randomInt } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Cluster, type NodeName, type Outcome, type Running } from '../support/cluster.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { prng, writeRandomTree } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? randomInt(2 ** 32))
const ROUNDS = Number(process.env.KILL_ROUNDS ?? 20)
const KILL_DELAY_MS_MAX = 900
const BACKUP_DEADLINE_MS = 120_000
/** Every third manager stays away for longer than a backup waits for it. */
const STAYS_AWAY_EVERY = 3
const RESTART_DELAY_MS_MAX = 4_000
/** Soon enough dead for the re-run to choose others, late enough for a restart not to count. */
const TIMING = { heartbeatMs: 500, deadMs: 20_000, managerWaitMs: 12_000 }
const ROLES = ['primary', 'backup server', 'manager'] as const

const test = suite(`cluster: kill -9 during a backup, replay with SEED=${seed}`)

test('what was called stored survives kills of primary, backup server and manager', async () => {
  const random = prng(seed)
  const cluster = await Cluster.start({ timing: TIMING })
  const stored: { snapshot: string; source: string }[] = []
  let movingKills = 0
  let managerKills = 0
  try {
    for (let round = 1; round <= ROUNDS; round += 1) {
      const source = join(cluster.folder, `source-${round}`)
      await writeRandomTree(source, { seed: seed + round, count: 60, meanBytes: 800_000 })
      const role = ROLES[round % ROLES.length] ?? 'manager'
      if (role === 'manager') managerKills += 1
      const staysAway = role !== 'manager' || managerKills % STAYS_AWAY_EVERY === 0
      const restartMs = staysAway ? null : random() * RESTART_DELAY_MS_MAX
      const startMs = performance.now()
      const plan = { source, role, restartMs, random }
      const { outcome, victim, killedMs, moving } = await backupAndKill(cluster, plan)
      if (moving) movingKills += 1
      const verdict = outcome.exitCode === 0 ? 'stored' : `exit ${outcome.exitCode}`
      const when = `after ${seconds(killedMs)} s${moving ? ' while data moved' : ', too late'}`
      const back = restartMs === null ? '' : `, back after ${seconds(restartMs)} s`
      const tookMs = performance.now() - startMs
      console.log(
        `  round ${round}: killed ${role} (${victim}) ${when}${back}: ` +
          `${verdict} after ${seconds(tookMs)} s ${lastError(outcome.stderr)}`,
      )
      if (outcome.exitCode === 0) {
        stored.push({ snapshot: snapshotOf(outcome), source })
      } else {
        assert.is(outcome.exitCode, 1, `a clear failure, not ${verdict}: ${outcome.stderr}`)
        assert.match(outcome.stderr, /"code":"[A-Z_]+"/, 'the failure has a code')
        assert.is(
          outcome.objects.some((o) => o.type === 'summary'),
          false,
          'nothing called stored',
        )
      }
      if (restartMs === null) cluster.startNode(victim)
      const again = await deadline(cluster.begin(['backup', source, '--json']))
      assert.is(again.exitCode, 0, `after the restart the same command works: ${again.stderr}`)
      stored.push({ snapshot: snapshotOf(again), source })
      await restoreAndCompare(cluster, snapshotOf(again), source)
      await cluster.waitUntil(
        'two replicas of everything',
        ({ blobs, servers }) =>
          blobs.underReplicated === 0 && blobs.lost === 0 && servers.every((s) => s.state === 'up'),
      )
    }
    for (const { snapshot, source } of stored) await restoreAndCompare(cluster, snapshot, source)
    console.log(`  ${stored.length} snapshots called stored, all restored and equal`)
    assert.ok(
      movingKills >= ROUNDS / 2,
      `only ${movingKills} of ${ROUNDS} kills hit a moving backup`,
    )
  } finally {
    await cluster.stop()
  }
})

interface Kill {
  readonly outcome: Outcome
  readonly victim: NodeName
  /** After the backup was started. */
  readonly killedMs: number
  readonly moving: boolean
}

/** Starts a backup, waits until a blob is on its way, then a random while, and kills. The killed
 * node is started again after `restartMs` while the backup goes on; null: not here. */
async function backupAndKill(
  cluster: Cluster,
  options: {
    source: string
    role: (typeof ROLES)[number]
    restartMs: number | null
    random: () => number
  },
): Promise<Kill> {
  const running = cluster.begin(['backup', options.source, '--json', '--verbose'])
  const beginMs = performance.now()
  let ended = false
  void running.done.then(() => {
    ended = true
  })
  const waitMs = options.random() * KILL_DELAY_MS_MAX
  let startedMs: number | null = null
  for (;;) {
    const now = performance.now()
    const blob = lastBlobUnderWay(running)
    if (blob) startedMs ??= now
    if (ended || (startedMs !== null && now - startedMs >= waitMs && blob)) {
      const number = options.role === 'primary' ? blob?.primary : blob?.backup
      const victim: NodeName =
        options.role === 'manager'
          ? 'manager'
          : `server-${number ?? 1 + Math.floor(options.random() * 4)}`
      const moving = !ended
      await cluster.kill(victim)
      const killedMs = performance.now() - beginMs
      if (options.restartMs !== null) {
        await new Promise((wake) => setTimeout(wake, options.restartMs ?? 0))
        cluster.startNode(victim)
      }
      return { outcome: await deadline(running), victim, killedMs, moving }
    }
    await new Promise((wake) => setTimeout(wake, 5))
  }
}

/** The newest blob event that names both servers, from the verbose lines on standard error. */
function lastBlobUnderWay(running: Running): { primary: number; backup: number } | null {
  for (const line of running.errorLines.toReversed()) {
    if (!line.includes('"type":"blob"')) continue
    const event = JSON.parse(line) as {
      primary: { number: number } | null
      backupServer: { number: number } | null
    }
    if (event.primary && event.backupServer) {
      return { primary: event.primary.number, backup: event.backupServer.number }
    }
  }
  return null
}

async function deadline(running: Running): Promise<Outcome> {
  const timer = setTimeout(() => running.child.kill('SIGKILL'), BACKUP_DEADLINE_MS)
  const outcome = await running.done
  clearTimeout(timer)
  assert.is.not(outcome.signal, 'SIGKILL', `no end within ${BACKUP_DEADLINE_MS} ms`)
  return outcome
}

async function restoreAndCompare(
  cluster: Cluster,
  snapshot: string,
  source: string,
): Promise<void> {
  const target = join(cluster.folder, 'restored')
  const restored = await cluster.run(['restore', snapshot, '--target', target, '--json'])
  assert.is(restored.exitCode, 0, restored.stderr)
  assert.equal(await compareTrees(source, join(target, source)), [])
  await rm(target, { recursive: true, force: true })
}

function snapshotOf(outcome: Outcome): string {
  const summary = outcome.objects.find((object) => object.type === 'summary')
  assert.type(summary?.snapshot, 'string')
  return String(summary?.snapshot)
}

const lastError = (text: string): string =>
  text.split('\n').findLast((line) => line.includes('"type":"error"')) ?? ''

const seconds = (ms: number): string => (ms / 1_000).toFixed(1)

test.run()
