// src/rpc/failure.ts — which coded error does a caller see when the transport fails?
import { TransportError, type TransportErrorCode } from '../../protocol/types.ts'
import { ERRORS, type ErrorCode, errorCodeOf, HoldfastError } from '../errors.ts'

/** Details from a peer are shown to people: no longer than this. */
export const DETAIL_LENGTH_MAX = 4096

type Row = readonly [code: ErrorCode, happened: string, advice: string]

const CHECK = 'check that the node runs, and its host and port in the config'
const AGAIN = 'it may have stopped or restarted; try again'

/** `{where}` becomes host:port. */
const ROWS: Partial<Record<TransportErrorCode, Row>> = {
  ERR_HOLDFAST_HANDSHAKE_TIMEOUT: ['UNREACHABLE', 'nobody answers at {where}', CHECK],
  ERR_HOLDFAST_REFUSED: [
    'UNREACHABLE',
    'the node at {where} takes no connections now',
    'it is stopping or busy, or runs another version of holdfast; try again',
  ],
  ERR_HOLDFAST_WRONG_PEER: [
    'UNREACHABLE',
    'another node than the one expected answers at {where}',
    'check that the right one runs there, and its host and port in the config',
  ],
  ERR_HOLDFAST_IDLE_TIMEOUT: ['UNREACHABLE', '{where} has fallen silent', CHECK],
  ERR_HOLDFAST_CLOSED: ['UNREACHABLE', 'the connection to {where} has ended', AGAIN],
  ERR_HOLDFAST_PROTOCOL: [
    'UNREACHABLE',
    'the connection to {where} broke the protocol',
    'run the same version of holdfast everywhere; its log may say more',
  ],
  ERR_HOLDFAST_SOCKET: [
    'UNREACHABLE',
    'the socket failed on the way to {where}',
    "check this machine's network",
  ],
  ERR_HOLDFAST_INVALID: [
    'BAD_CONFIG',
    '{where} cannot be called',
    'correct host and port in the config',
  ],
  ERR_HOLDFAST_ABORTED: ['CANCELLED', 'given up while connecting to {where}', 'nothing was sent'],
}

/** A coded error for whatever went wrong on the way to `where` (host:port). */
export function failureOf(error: unknown, where: string): HoldfastError {
  if (error instanceof HoldfastError) return error
  if (!(error instanceof TransportError)) {
    const detail = `a defect while talking to ${where}: ${String(error)}`
    return new HoldfastError('INTERNAL', detail, { cause: error })
  }
  const { code } = error
  if (code === 'ERR_HOLDFAST_STREAM_RESET' || code === 'ERR_HOLDFAST_STREAM_STOPPED') {
    return resetBy(error, where)
  }
  const row = ROWS[code]
  if (!row) {
    const detail = `a defect while talking to ${where}: ${error.message}`
    return new HoldfastError('INTERNAL', detail, { cause: error })
  }
  const [mapped, happened, advice] = row
  const detail = `${happened.replace('{where}', where)} (${error.message}): ${advice}`
  return new HoldfastError(mapped, detail, { cause: error })
}

/** Somebody answers there, with another key: what that means depends on who was expected. */
export const isStranger = (error: unknown): boolean =>
  error instanceof TransportError && error.code === 'ERR_HOLDFAST_WRONG_PEER'

/** The number with which a stream is given up, so that the other end knows the reason. */
export const wireCodeOf = (error: unknown): number =>
  ERRORS[error instanceof HoldfastError ? error.code : 'INTERNAL'].wire

function resetBy(error: TransportError, where: string): HoldfastError {
  // 0 is what a closing connection or a crashing peer leaves behind.
  const code = error.wireCode === 0 ? 'UNREACHABLE' : errorCodeOf(error.wireCode)
  const detail = `${where} gave up the request (${code}): try again, or see its log`
  return new HoldfastError(code, detail, { cause: error, remote: true })
}

/** Why a signal fired: its own coded reason where it has one. */
export function cancelledBy(signal: AbortSignal, what: string): HoldfastError {
  const { reason } = signal
  if (reason instanceof HoldfastError) return reason
  return new HoldfastError('CANCELLED', `${what} was given up by its caller`, { cause: reason })
}

export const shorten = (text: string): string =>
  text.length <= DETAIL_LENGTH_MAX ? text : `${text.slice(0, DETAIL_LENGTH_MAX - 1)}…`
