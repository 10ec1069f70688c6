// src/cli/parent.ts — what becomes of a process when the one that started it is killed?

/** The launcher on an older Node and `holdfast up` hold the other end of a channel. It closes when
 * they go, however they go; nobody is there to stop us then, so we end too. */
export function followParent(): void {
  if (!process.connected) return
  // A command behind a launcher ends as the launcher did; a node closes what it has open.
  const signal = process.env.HOLDFAST_PARENT === 'up' ? 'SIGTERM' : 'SIGKILL'
  process.on('disconnect', () => process.kill(process.pid, signal))
  process.channel?.unref()
}

/** A node of `holdfast up` tells it what should not stay in a log only. */
export function tellParent(trouble: string): void {
  if (process.connected && process.env.HOLDFAST_PARENT === 'up') process.send?.({ trouble })
}
