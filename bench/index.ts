// bench/index.ts — how fast is holdfast on this machine, beside what everybody has? (npm run bench)
//
//   npm run bench -- [--quick] [--json] [--rounds N] [--dir FOLDER]
//   npm run bench -- --transport [--only NAME]   bulk and requests over the loopback alone
//   npm run bench -- --links [--only NAME]       bad links beside TCP and udx, fairness (root)
//                    [--cc NAME] [--alone]       … of another controller; without the rivals
//   npm run bench -- --idle                      a thousand connections that say nothing
//   npm run bench -- --backup-link               backup over a bad link beside restic (root)
//   npm run bench -- --micro [--record]          packets per second without a socket, and before
//   npm run bench -- --flood [--json]            a flood of strangers, in network namespaces (root)
//   npm run bench -- --flood-memory             … and what it costs a whole cluster
//
// Compare the ratios, not the numbers: the rivals run on the same machine in the same minutes.
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { benchBackup, formatBackup } from './backup.ts'
import { benchBackupLink, formatBackupLink } from './backup-link.ts'
import { benchControl, formatControl } from './control.ts'
import { lackOfEmulator } from './emulated-link.ts'
import { benchFairness, formatFairness } from './fairness.ts'
import { benchFlood, formatFlood } from './flood.ts'
import { benchFloodMemory, formatFloodMemory } from './flood-cluster.ts'
import { benchIdle, formatIdle } from './idle.ts'
import { benchLinks, formatLinks } from './links.ts'
import { benchMicro, formatMicro, recordMicro } from './micro.ts'
import { benchRequests, formatRequests } from './requests.ts'
import { benchTransport, formatTransport } from './transport.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    dir: { type: 'string', default: tmpdir() },
    transport: { type: 'boolean', default: false },
    links: { type: 'boolean', default: false },
    cc: { type: 'string' },
    alone: { type: 'boolean', default: false },
    idle: { type: 'boolean', default: false },
    'backup-link': { type: 'boolean', default: false },
    micro: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    flood: { type: 'boolean', default: false },
    'flood-memory': { type: 'boolean', default: false },
  },
})
const { quick, only, dir } = values
const rounds = values.rounds === undefined ? undefined : Number(values.rounds)

const print = (type: string, rows: readonly object[], table: string): void => {
  if (values.json) for (const row of rows) console.log(JSON.stringify({ type, ...row }))
  else console.log(`${table}\n`)
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  node: process.version,
  date: new Date().toISOString().slice(0, 10),
}
const { cpu, cores, node, date } = machine
print('machine', [machine], `${cores} × ${cpu}, Node ${node}, ${date}`)

if (values.flood) {
  const flood = await benchFlood()
  print('flood', flood, formatFlood(flood))
} else if (values.links) {
  await links()
} else if (values['backup-link']) {
  mustEmulate()
  const backup = await benchBackupLink({ rounds, quick, dir, onStep: say })
  print('backup-link', backup, formatBackupLink(backup))
} else if (values.micro) {
  const micro = benchMicro({ quick })
  print('micro', micro, formatMicro(micro))
  if (values.record) recordMicro(micro, `${cores} × ${cpu}, Node ${node}`, date)
} else if (values.idle) {
  const idle = await benchIdle({ quick })
  print('idle', idle, formatIdle(idle))
} else if (values['flood-memory']) {
  const memory = await benchFloodMemory()
  print('flood-memory', memory, formatFloodMemory(memory))
} else {
  await loopback()
  if (!values.transport) {
    const backup = await benchBackup({ rounds, quick, dir })
    print('backup', backup, formatBackup(backup))
  }
}

async function loopback(): Promise<void> {
  const transport = await benchTransport({ rounds, quick, only })
  print('transport', transport.rows, formatTransport(transport))
  if (values.json) print('physical', [transport.limits], '')
  const requests = await benchRequests({ rounds, quick })
  print('requests', requests, formatRequests(requests))
}

async function links(): Promise<void> {
  mustEmulate()
  const { alone } = values
  const congestion = values.cc
  const rows = await benchLinks({
    only,
    quick,
    rounds,
    alone,
    congestion,
    onRow: (row) => say(`${row.name}: ${row.isMet ? 'met' : 'MISSED'}`),
  })
  print('links', rows, formatLinks(rows))
  if (only !== undefined) return
  const fairness = await benchFairness({ quick, congestion })
  print('fairness', fairness, formatFairness(fairness))
  const control = await benchControl({ quick })
  print('control', control, formatControl(control))
}

function mustEmulate(): void {
  const lack = lackOfEmulator()
  if (lack === null) return
  process.stderr.write(`links cannot be emulated here: ${lack}\n`)
  process.exit(1)
}
