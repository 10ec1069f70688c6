// src/cli/commands/perf.ts — how is a link measured from the command line?
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { HoldfastError } from '../../errors.ts'
import {
  measureRequests,
  measureTransfer,
  openDialling,
  openServing,
  PERF_PORT,
  serveMeasurements,
  systemClock,
  TransportError,
} from '../../perf/index.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import { describeInterval, describeMeasured, describePing, describeTransfer } from './perf-lines.ts'
import { type Options, pingWords, sendWords, serveWords } from './perf-words.ts'

const NOT_AUTHENTICATED =
  'encrypted, but not authenticated: the key is no secret, and whoever reaches this port can measure'
const EXIT_INTERRUPTED = 130

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

export async function runPerfServe(output: Output, options: Options): Promise<number> {
  const { bind, ...own } = serveWords(options)
  const signal = interruptSignal()
  const endpoint = await openServing(bind, own).catch(asOpening)
  serveMeasurements({
    endpoint,
    clock: systemClock,
    cpuSeconds,
    onMeasured: (what) => output.result({ type: 'measured', ...what }, describeMeasured(what)),
  })
  const { host, port } = endpoint.local
  const ready = { type: 'ready', name: 'perf', host, port, pid: process.pid, authenticated: false }
  output.result(ready, `ready: perf serves at ${host}:${port}/udp (pid ${process.pid})`)
  output.say(NOT_AUTHENTICATED)
  await new Promise((done) => {
    if (signal.aborted) done(null)
    else signal.addEventListener('abort', done, { once: true })
  })
  await endpoint.close({ drainMs: 0 })
  return 0
}

export async function runPerfSend(output: Output, to: string, options: Options): Promise<number> {
  const words = sendWords(options)
  const { crc, mtuBytes, congestion, ...order } = words
  const dialling = await dial(to, { crc, mtuBytes, congestion })
  const { address, endpoint } = dialling
  try {
    const summary = await measureTransfer({
      ...order,
      ...dialling.parts,
      onInterval: (interval) => {
        if (output.isJson) output.result({ type: 'interval', ...interval }, '')
        else output.status(describeInterval(interval))
      },
    })
    output.result({ type: 'summary', ...summary }, describeTransfer(summary))
    if (summary.interrupted) return EXIT_INTERRUPTED
    if (summary.verified) return 0
    throw new HoldfastError('CORRUPT', notVerified(summary.wrongAt))
  } catch (error) {
    throw asDialling(error, address)
  } finally {
    await endpoint.close({ drainMs: 0 })
  }
}

const notVerified = (wrongAt: number | null): string =>
  wrongAt === null
    ? 'fewer bytes came than were sent'
    : `a wrong byte came at ${wrongAt}: please report this defect of the transport`

export async function runPerfPing(output: Output, to: string, options: Options): Promise<number> {
  const words = pingWords(options)
  const { address, endpoint, parts } = await dial(to, {})
  try {
    const summary = await measureRequests({ ...words, ...parts })
    output.result({ type: 'summary', ...summary }, describePing(summary))
    return 0
  } catch (error) {
    throw asDialling(error, address)
  } finally {
    await endpoint.close({ drainMs: 0 })
  }
}

async function dial(to: string, own: Parameters<typeof openDialling>[1]) {
  const address = await resolve(to)
  const endpoint = await openDialling(address.host, own).catch(asOpening)
  const signal = interruptSignal()
  return {
    address,
    endpoint,
    parts: { endpoint, to: address, clock: systemClock, cpuSeconds, signal },
  }
}

/** HOST, HOST:PORT or [IPv6]:PORT; a name is looked up. */
async function resolve(to: string): Promise<{ host: string; port: number }> {
  const { name, port } = splitAddress(to)
  if (isIP(name)) return { host: name, port }
  try {
    return { host: (await lookup(name)).address, port }
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown'
    const detail = `there is no host '${name}' (${code}); give a name or an address such as 10.0.0.2`
    throw new HoldfastError('UNREACHABLE', detail, { cause })
  }
}

function splitAddress(to: string): { name: string; port: number } {
  if (isIP(to)) return { name: to, port: PERF_PORT }
  const match = /^(?:\[([^\]]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/.exec(to)
  const name = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3] ?? PERF_PORT)
  if (name && port > 0 && port < 65_536) return { name, port }
  const detail = `'${to}' is not HOST:PORT; write for example 10.0.0.2:${PERF_PORT} or [fe80::1]:9000`
  throw new HoldfastError('BAD_USAGE', detail)
}

function asOpening(error: unknown): never {
  if (!(error instanceof TransportError)) throw error
  const cause = error.cause as NodeJS.ErrnoException | undefined
  if (cause?.code === 'EADDRINUSE') {
    throw new HoldfastError('PORT_IN_USE', `${error.message}; choose another with --port`)
  }
  if (cause?.code === 'EADDRNOTAVAIL') {
    throw new HoldfastError('BAD_USAGE', `${error.message}: --host is no address of this machine`)
  }
  if (error.code === 'ERR_HOLDFAST_INVALID') throw new HoldfastError('BAD_USAGE', error.message)
  throw error
}

/** The transport's failures, with what to look at. */
function asDialling(error: unknown, to: { host: string; port: number }): unknown {
  if (!(error instanceof TransportError)) return error
  if (error.code === 'ERR_HOLDFAST_ABORTED') return new HoldfastError('CANCELLED', 'interrupted')
  if (error.code !== 'ERR_HOLDFAST_HANDSHAKE_TIMEOUT') return error
  const detail =
    `nobody answers at ${to.host}:${to.port}/udp. Check that \`holdfast perf serve\` runs there ` +
    '(a manager or server does not answer), the port, and that no firewall drops UDP'
  return new HoldfastError('UNREACHABLE', detail, { cause: error })
}
