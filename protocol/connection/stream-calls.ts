// protocol/connection/stream-calls.ts — which of the application's calls are the streams' alone?
import type { Connection } from './api.ts'
import type { Streams } from './streams.ts'

type Calls = Pick<
  Connection,
  | 'admit'
  | 'openStream'
  | 'setUrgency'
  | 'write'
  | 'finish'
  | 'isReadFinished'
  | 'isAcknowledged'
  | 'reset'
  | 'stopSending'
  | 'isDrained'
>

/** The connection's part that time does not matter to. */
export abstract class StreamCalls implements Calls {
  abstract readonly state: Connection['state']
  abstract readonly streams: Streams
  /** The same, when something may be to send afterwards. */
  protected abstract get woken(): Streams

  openStream(direction: 'bidi' | 'uni', urgency: number): number | null {
    return this.state === 'open' ? this.streams.open(direction, urgency) : null
  }

  setUrgency(streamId: number, urgency: number): void {
    this.streams.setUrgency(streamId, urgency)
  }

  admit(): void {
    this.woken.admit()
  }

  write(streamId: number, bytes: Uint8Array): number {
    return this.woken.write(streamId, bytes)
  }

  finish(streamId: number): void {
    this.woken.finish(streamId)
  }

  isReadFinished(streamId: number): boolean {
    return this.streams.receiving.get(streamId)?.isReadFinished ?? true
  }

  isAcknowledged(streamId: number): boolean {
    return this.streams.sending.get(streamId)?.isAcknowledged ?? true
  }

  reset(streamId: number, code: number): void {
    this.woken.reset(streamId, code)
  }

  stopSending(streamId: number, code: number): void {
    this.woken.stopSending(streamId, code)
  }

  get isDrained(): boolean {
    return this.streams.isAllAcknowledged
  }
}
