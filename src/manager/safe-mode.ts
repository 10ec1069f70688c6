// src/manager/safe-mode.ts — may a manager that has just started trust its picture of the servers?
import { HoldfastError } from '../errors.ts'
import type { Manager } from './manager.ts'

const POLL_MS = 50

/** After a start reads work and writes wait, until every server that is not dead has reported what
 * it holds. A catalog without blobs has nothing to wait for. */
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
    const awaited = membership.all.filter((m) => membership.state(m, nowMs) !== 'dead')
    if (awaited.length === 0 || !awaited.every((member) => member.hasReported)) return
    this.#isOn = false
    log.info('safe mode is over: every server has reported', { servers: awaited.length })
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
