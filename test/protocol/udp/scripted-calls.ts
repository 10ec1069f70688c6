// test/protocol/udp/scripted-calls.ts — how do real socket calls fail when a test wants it?
import type { SocketCalls } from '../../../protocol/native/libc.ts'

type Answer = number | null

/** The real calls, but for those whose answers are scripted: null is the real one. */
export class ScriptedCalls implements SocketCalls {
  readonly trains: Answer[] = []
  readonly batches: Answer[] = []
  readonly receives: Answer[] = []
  socketAnswer: Answer = null
  segmentAnswer: Answer = null
  /** What was asked of the kernel: `train 3000/1000`, `each 3000/1000`. */
  readonly asked: string[] = []
  readonly #real: SocketCalls

  constructor(real: SocketCalls) {
    this.#real = real
  }

  get received(): SocketCalls['received'] {
    return this.#real.received
  }

  socket(family: 4 | 6): number {
    return this.socketAnswer ?? this.#real.socket(family)
  }

  bind(fd: number, sockaddr: Uint8Array): number {
    return this.#real.bind(fd, sockaddr)
  }

  close(fd: number): number {
    return this.#real.close(fd)
  }

  setOption(...wish: Parameters<SocketCalls['setOption']>): number {
    return this.#real.setOption(...wish)
  }

  getOption(...wish: Parameters<SocketCalls['getOption']>): number {
    return this.segmentAnswer ?? this.#real.getOption(...wish)
  }

  sendTrain(...wish: Parameters<SocketCalls['sendTrain']>): number {
    this.asked.push(`train ${wish[1].length}/${wish[3]}`)
    return this.trains.shift() ?? this.#real.sendTrain(...wish)
  }

  /** A positive answer of a script sends so many datagrams and no more. */
  sendEach(fd: number, bytes: Uint8Array, sockaddr: Uint8Array, segmentBytes: number): number {
    this.asked.push(`each ${bytes.length}/${segmentBytes}`)
    const answer = this.batches.shift() ?? null
    if (answer !== null && answer < 0) return answer
    const some = answer === null ? bytes : bytes.subarray(0, answer * segmentBytes)
    return this.#real.sendEach(fd, some, sockaddr, segmentBytes)
  }

  receive(fd: number, slots: number): number {
    return this.receives.shift() ?? this.#real.receive(fd, slots)
  }
}
