// src/rpc/reply.ts — what may a handler answer?
import type { Method, ResponseOf } from '../messages.ts'

/** An answer that raw bytes follow. */
export class WithBody<R> {
  readonly response: R
  readonly body: AsyncIterable<Uint8Array>
  constructor(response: R, body: AsyncIterable<Uint8Array>) {
    this.response = response
    this.body = body
  }
}

export type Reply<M extends Method> = ResponseOf<M> | WithBody<ResponseOf<M>>

/** The body is pulled piece by piece as the caller takes it. When the caller goes away, or the
 * body is not wanted, its iterator is returned; when it throws, the caller's reading fails with
 * the same code. The pieces must not be changed after they were given. */
export const reply = <R>(response: R, body: AsyncIterable<Uint8Array>): WithBody<R> =>
  new WithBody(response, body)
