// bench/index.ts — how fast is holdfast on this machine, beside what everybody has? (npm run bench)
//
//   npm run bench -- [--quick] [--json] [--dir FOLDER]
//   npm run bench -- --flood [--json]       a flood of strangers, in network namespaces (root)
//
// Compare the ratios, not the numbers: the rivals run on the same machine in the same minutes.
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { benchBackup, formatBackup } from './backup.ts'
import { benchFlood, formatFlood } from './flood.ts'
import { benchTransport, formatTransport } from './transport.ts'

const QUICK = { rounds: 2, bytes: 128 * 2 ** 20 } as const

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    dir: { type: 'string', default: tmpdir() },
    flood: { type: 'boolean', default: false },
  },
})

const print = (type: string, rows: readonly object[], table: string): void => {
  if (values.json) for (const row of rows) console.log(JSON.stringify({ type, ...row }))
  else console.log(`${table}\n`)
}

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  node: process.version,
}
print('machine', [machine], `${machine.cores} × ${machine.cpu}, Node ${machine.node}`)

if (values.flood) {
  const flood = await benchFlood()
  print('flood', flood, formatFlood(flood))
} else {
  const transport = await benchTransport(values.quick ? QUICK : {})
  print('transport', transport, formatTransport(transport))

  const backup = await benchBackup({ quick: values.quick, dir: values.dir })
  print('backup', backup, formatBackup(backup))
}
