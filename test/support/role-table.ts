// test/support/role-table.ts — who may send which message? Written down once more, for the tests only.
import type { Session } from '../../protocol/types.ts'
import { errorCodeOf } from '../../src/errors.ts'
import type { Role } from '../../src/identity/certificate.ts'
import { MESSAGES, type Method } from '../../src/messages.ts'
import { encodeFrame, readFrame } from '../../src/rpc/frames.ts'
import { StreamReader } from '../../src/rpc/stream-reader.ts'

/** `nobody` has no certificate, `ended` one whose time is over, for all roles. */
export const SENDERS = [
  'nobody',
  'ended',
  'manager',
  'server',
  'backup',
  'restore',
  'operator',
] as const
export type Sender = (typeof SENDERS)[number]

export const rolesOf = (sender: Sender): Role[] => {
  if (sender === 'nobody' || sender === 'ended') {
    return ['manager', 'server', 'backup', 'restore', 'operator']
  }
  return [sender]
}

/** x: may send it. The columns are SENDERS. */
const TABLE = `
                      nobody ended manager server backup restore operator
cluster.directory       x      x      x      x      x      x       x      at manager
node.enrol              x      x      x      x      x      x       x      at manager
certificate.renew       x      x      x      x      x      x       x      at manager
token.create            -      -      -      -      -      -       x      at manager
node.revoke             -      -      -      -      -      -       x      at manager
cluster.rotate          -      -      -      -      -      -       x      at manager
repository.open         -      -      -      -      x      x       -      at manager
repository.list         -      -      -      -      x      x       x      at manager
backup.begin            -      -      -      -      x      -       -      at manager
backup.touch            -      -      -      -      x      -       -      at manager
backup.abort            -      -      -      -      x      -       -      at manager
chunks.missing          -      -      -      -      x      -       -      at manager
server.assign           -      -      -      -      x      -       -      at manager
snapshot.commit         -      -      -      -      x      -       -      at manager
snapshots.list          -      -      -      -      x      x       x      at manager
chunks.locate           -      -      -      -      x      x       -      at manager
status                  -      -      -      x      x      x       x      at manager
server.register         -      -      -      x      -      -       -      at manager
server.heartbeat        -      -      -      x      -      -       -      at manager
server.report           -      -      -      x      -      -       -      at manager
backup-server.assign    -      -      -      x      -      -       -      at manager
replica.stored          -      -      -      x      -      -       -      at manager
blob.store              -      -      -      -      x      -       -      at server
blob.replicate          -      -      -      x      -      -       -      at server
blob.fetch              -      -      -      -      x      x       -      at server
`

const ROWS = new Map(
  TABLE.trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .map(([method = '', ...cells]) => [method, cells] as const),
)

export const METHODS = Object.keys(MESSAGES) as Method[]

/** What a node of that side must answer to an empty request: NOT_ALLOWED, UNKNOWN_METHOD, or null
 * when the sender may send it (the answer is then about the request). */
export function verdictOf(
  method: Method,
  sender: Sender,
  side: 'manager' | 'server',
): 'NOT_ALLOWED' | 'UNKNOWN_METHOD' | null {
  const cells = ROWS.get(method)
  if (!cells) throw new Error(`the table has no row for ${method}`)
  if (cells.at(-1) !== side) return 'UNKNOWN_METHOD'
  return cells[SENDERS.indexOf(sender)] === 'x' ? null : 'NOT_ALLOWED'
}

/** Sends the message with an empty request, whatever its schema says. The code of the refusal, or
 * `ok`. */
export async function send(session: Session, method: string): Promise<string> {
  const stream = session.openStream()
  stream.on('error', () => undefined)
  const reader = new StreamReader(stream)
  stream.write(encodeFrame({ method, deadlineMs: 5_000, request: {} }))
  stream.end()
  const frame = await readFrame(reader)
  stream.destroy()
  if (!frame?.ok) return 'no answer'
  const { error } = frame.value as { error?: { wire: number } }
  return error ? errorCodeOf(error.wire) : 'ok'
}

/** Tries every message; one line for each that is not answered as the table says. */
export async function differences(
  session: Session,
  sender: Sender,
  side: 'manager' | 'server',
): Promise<string[]> {
  const wrong: string[] = []
  for (const method of METHODS) {
    const wanted = verdictOf(method, sender, side)
    const answer = await send(session, method)
    const isRight =
      wanted === null
        ? !['NOT_ALLOWED', 'UNKNOWN_METHOD', 'no answer'].includes(answer)
        : answer === wanted
    if (!isRight)
      wrong.push(`${sender} ${method} at the ${side}: ${answer}, not ${wanted ?? 'allowed'}`)
  }
  return wrong
}
