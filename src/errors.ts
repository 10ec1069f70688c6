// src/errors.ts — which failures can a person or a program meet, and what should they do? Append only.

/** How a caller should react: `never` (the same call fails again), `backoff` (the same call may
 * work later), `elsewhere` (another server may serve it), `new-session` (begin the backup again). */
export type Retry = 'never' | 'backoff' | 'elsewhere' | 'new-session'

/** Exit codes of the command line follow restic. */
type Row = { readonly wire: number; readonly retry: Retry; readonly exit: number }

/** Wire numbers are for ever: never reuse or renumber one. */
export const ERRORS = {
  /** The request breaks its schema. Fix the caller; the same bytes always fail. */
  INVALID_REQUEST: { wire: 1, retry: 'never', exit: 1 },
  /** No such snapshot, chunk or blob. List again before deciding. */
  NOT_FOUND: { wire: 2, retry: 'never', exit: 1 },
  /** The backup session ended or its lease lapsed. Begin again; stored chunks stay valid. */
  SESSION_EXPIRED: { wire: 3, retry: 'new-session', exit: 1 },
  /** Pieces lack a second good copy. Ask again what is missing, send it, commit again. */
  UNDER_REPLICATED: { wire: 4, retry: 'backoff', exit: 1 },
  /** Fewer servers are up than copies are wanted. Start servers, then repeat the command. */
  NOT_ENOUGH_SERVERS: { wire: 5, retry: 'backoff', exit: 1 },
  /** The manager has just started and waits for its servers. Wait and repeat. */
  SAFE_MODE: { wire: 6, retry: 'backoff', exit: 1 },
  /** A grant is missing, not yet or no longer valid, or for something else. Ask for a new one. */
  GRANT_REFUSED: { wire: 7, retry: 'backoff', exit: 11 },
  /** The peer's role or certificate does not allow this. */
  NOT_ALLOWED: { wire: 8, retry: 'never', exit: 11 },
  /** The key in use is not the key of the repository, or there is none. Import the key file. */
  NO_SUCH_REPOSITORY: { wire: 9, retry: 'never', exit: 10 },
  /** The bytes do not match their id or checksum. Take another replica. */
  CORRUPT: { wire: 10, retry: 'elsewhere', exit: 1 },
  /** The disk is full or failing; the server is read-only. Free space or use another server. */
  STORAGE_FULL: { wire: 11, retry: 'elsewhere', exit: 1 },
  /** Reading or writing the disk failed. See the server's log; another server may do. */
  STORAGE_FAILED: { wire: 12, retry: 'elsewhere', exit: 1 },
  /** The node cannot be reached. Check that it runs, and its host and port in the config. */
  UNREACHABLE: { wire: 13, retry: 'backoff', exit: 1 },
  /** No answer, or no progress, in the time allowed. */
  DEADLINE_EXCEEDED: { wire: 14, retry: 'backoff', exit: 1 },
  /** The caller gave up, or the program was interrupted. */
  CANCELLED: { wire: 15, retry: 'never', exit: 130 },
  /** The node does not know this method. Run the same version of holdfast everywhere. */
  UNKNOWN_METHOD: { wire: 16, retry: 'never', exit: 1 },
  /** A defect in holdfast. The node's log has the details. */
  INTERNAL: { wire: 17, retry: 'never', exit: 1 },
  /** config.ts or a --config file is wrong. The message names the field. */
  BAD_CONFIG: { wire: 18, retry: 'never', exit: 1 },
  /** Another program listens on the port. Change it in the config. */
  PORT_IN_USE: { wire: 19, retry: 'never', exit: 1 },
  /** The data folder is in use by another process, or belongs to another node or cluster. */
  DATA_FOLDER_LOCKED: { wire: 20, retry: 'never', exit: 11 },
  /** The node has no certificate and found no cluster to join. */
  NOT_ENROLLED: { wire: 21, retry: 'never', exit: 1 },
  /** A key, token or data file has the wrong shape, owner or mode. */
  BAD_FILE: { wire: 22, retry: 'never', exit: 1 },
  /** A command line that makes no sense. The message says which word. */
  BAD_USAGE: { wire: 23, retry: 'never', exit: 1 },
  /** A snapshot would lean on a piece the manager does not know. A defect of the client. */
  UNKNOWN_EDGE: { wire: 24, retry: 'never', exit: 1 },
  /** The node is stopping. Ask again or elsewhere. */
  SHUTTING_DOWN: { wire: 25, retry: 'elsewhere', exit: 1 },
  /** The join token is damaged, used, too old, or for another node. Make a new one. */
  TOKEN_REFUSED: { wire: 26, retry: 'never', exit: 1 },
  /** The clocks of this machine and the manager's differ too much. Set the wrong one right. */
  CLOCK_WRONG: { wire: 27, retry: 'never', exit: 1 },
  /** The node, the token or the data folder belongs to another cluster. */
  WRONG_CLUSTER: { wire: 28, retry: 'never', exit: 1 },
  /** The node's key was revoked by an operator. Remove its .key and .cert file and enrol it anew. */
  REVOKED: { wire: 29, retry: 'never', exit: 11 },
} as const satisfies Record<string, Row>

export type ErrorCode = keyof typeof ERRORS

/** The one error that crosses layers and the wire. Match on `code`: instanceof does not survive
 * the wire. `detail` says what happened and what to do next, in one or two plain sentences. */
export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly detail: string
  /** True when the peer reported it, false when it arose here. */
  readonly remote: boolean
  constructor(code: ErrorCode, detail: string, options: ErrorOptions & { remote?: boolean } = {}) {
    super(`${code}: ${detail}`, options)
    this.name = 'HoldfastError'
    this.code = code
    this.detail = detail
    this.remote = options.remote ?? false
  }

  get retry(): Retry {
    return ERRORS[this.code].retry
  }
}

export const isHoldfastError = (error: unknown, code?: ErrorCode): error is HoldfastError =>
  error instanceof HoldfastError && (code === undefined || error.code === code)

const BY_WIRE = new Map<number, ErrorCode>(
  Object.entries(ERRORS).map(([code, row]) => [row.wire, code as ErrorCode]),
)

/** The code for a number from the wire; an unknown number (a newer peer) reads as INTERNAL. */
export const errorCodeOf = (wire: number): ErrorCode => BY_WIRE.get(wire) ?? 'INTERNAL'
