// protocol/connection/event-queue.ts — what has happened that the driver has not been told of yet?
import type { EndpointEvent } from './api.ts'

export class EventQueue {
  readonly #events: EndpointEvent[] = []
  #head = 0

  push(event: EndpointEvent): void {
    this.#events.push(event)
  }

  poll(): EndpointEvent | null {
    if (this.#head === this.#events.length) {
      this.#events.length = 0
      this.#head = 0
      return null
    }
    return this.#events[this.#head++] ?? null
  }
}
