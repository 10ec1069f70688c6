// src/manager/safe-mode.ts — may a manager that has just started trust its picture of the servers?
import { HoldfastError } from '../errors.ts'
import type { Manager } from './manager.ts'

const POLL_MS = 50
/** One blob in so many may still be without a copy. */
const BLOBS_PER_ABSENT = 1_000

/** After a start reads work and writes wait, until every server that is not dead has reported what
 * it holds, or 99.9 % of the blobs have a copy on one that has: a server that stays away must not
 * hold up all the others. A catalog without blobs has nothing to wait for. */
export class SafeMode {
  readonly #manager: Manager
  #isOn: boolean

  constructor(manager: Manager, isOn: boolean) {
    this.#manager = manager
    this.#isOn = isOn
  }

  get isOn(): boolean {
    return this.#isOn
  }

  /** Looks whether it is over: call after reports and now and then. */
  check(): void {
    if (!this.#isOn) return
    const { membership, clock, log } = this.#manager
    const nowMs = clock.nowMs()
    const awaited = membership.all.filter((m) => membership.isLive(m, nowMs))
    if (awaited.length === 0 || !awaited.every((member) => member.hasReported)) return
    this.#isOn = false
    log.info('safe mode is over: every server has reported', { servers: awaited.length })
  }

  /** A server has reported: it may have been the one that was missed. */
  async handleReport(): Promise<void> {
    this.check()
    if (!this.#isOn) return
    const { catalog, membership, log } = this.#manager
    const reported = membership.all.filter((m) => m.hasReported).map((m) => m.number)
    const { total, lost } = await catalog.counts(reported, 1)
    if (!this.#isOn || lost * BLOBS_PER_ABSENT > total) return
    this.#isOn = false
    log.info('safe mode is over: the blobs are there', { servers: reported.length, total, lost })
  }

  /** Resolves when writes may go on; SAFE_MODE after a while. */
  async over(signal: AbortSignal): Promise<void> {
    const { clock, timing, membership } = this.#manager
    const endMs = clock.nowMs() + timing.safeModeWaitMs
    while (this.#isOn) {
      this.check()
      if (!this.#isOn) return
      if (clock.nowMs() >= endMs || signal.aborted) {
        const silent = membership.all.filter((m) => !m.hasReported).map((m) => m.name)
        const detail = `the manager has just started and waits for ${silent.join(', ')} to report`
        throw new HoldfastError('SAFE_MODE', `${detail}; start them, or wait and repeat`)
      }
      await new Promise<void>((wake) => clock.setTimer(wake, POLL_MS))
    }
  }
}
