// src/server/failpoints.ts — at which named moments can a test kill a server for real?
//
// A failpoint is a place where a power cut would leave the most interesting remains. Production
// runs without any: HOLDFAST_FAILPOINT names the one at which the process kills itself.

export const FAILPOINTS = [
  /** All bytes are written to tmp/, none is synced. */
  'before-datasync',
  /** The blob has its final name, the folder is not synced. */
  'after-rename',
  /** The replica is on disk, the manager has not been told. */
  'before-report',
  /** The manager has taken the report, the caller has no answer yet. */
  'after-report',
] as const

export type Failpoint = (typeof FAILPOINTS)[number]

/** Called at each point. Does nothing, or never returns. */
export type ReachFailpoint = (point: Failpoint) => void

export const noFailpoints: ReachFailpoint = () => {}

/** Kills this process with SIGKILL at the named point. Throws on a name that does not exist, so
 * that a test with a typing mistake fails rather than passes. */
export function failpointFrom(name: string | undefined): ReachFailpoint {
  if (name === undefined || name === '') return noFailpoints
  const known = FAILPOINTS.find((point) => point === name)
  if (!known) throw new Error(`HOLDFAST_FAILPOINT=${name}: not one of ${FAILPOINTS.join(', ')}`)
  return (point) => {
    if (point === known) process.kill(process.pid, 'SIGKILL')
  }
}
