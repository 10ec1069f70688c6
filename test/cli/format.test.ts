// test/cli/format.test.ts — do numbers and states read well, and does progress stay on one line?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { describeStatus } from '../../src/cli/commands/status.ts'
import { formatBytes, formatMode, formatSeconds, plural } from '../../src/cli/format.ts'
import type { ClusterStatus } from '../../src/client/index.ts'

const test = suite('cli: format')

test('bytes', () => {
  const rows: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [102_400, '100 KiB'],
    [2 ** 30, '1.0 GiB'],
    [2 ** 60, '1024 PiB'],
  ]
  for (const [bytes, text] of rows) assert.is(formatBytes(bytes), text)
})

test('seconds', () => {
  const rows: [number, string][] = [
    [0, '0:00'],
    [9.9, '0:09'],
    [75, '1:15'],
    [3_600, '1:00:00'],
    [36_061, '10:01:01'],
  ]
  for (const [seconds, text] of rows) assert.is(formatSeconds(seconds), text)
})

test('one file, two files', () => {
  assert.is(plural(1, 'file'), '1 file')
  assert.is(plural(0, 'file'), '0 files')
})

const server = (number: number, state: ClusterStatus['servers'][number]['state']) => ({
  number,
  name: `server-${number}`,
  host: '127.0.0.1',
  port: 7400 + number,
  state,
  usedBytes: 2048,
  freeBytes: 2 ** 30,
  blobs: 1,
  readOnly: false,
  lastSeenMs: 0,
})
const status = (change: Partial<ClusterStatus>): ClusterStatus => ({
  clusterId: 'c'.repeat(32),
  safeMode: false,
  servers: [server(1, 'up'), server(2, 'dead')],
  blobs: { total: 1, underReplicated: 0, lost: 0 },
  snapshots: 1,
  sessions: 0,
  ...change,
})

test('status: a line per server, then whether all has two copies', () => {
  assert.equal(describeStatus(status({})), [
    'server-1  up          2.0 KiB used    1.0 GiB free  1 blob',
    'server-2  dead        2.0 KiB used    1.0 GiB free  1 blob',
    '1 blob, it is on two servers; 1 snapshot',
  ])
})

test('status never calls thin or lost data safe', () => {
  const thin = describeStatus(status({ blobs: { total: 9, underReplicated: 3, lost: 1 } }))
  assert.match(thin.at(-1) ?? '', '3 lack a second copy')
  assert.match(thin.at(-1) ?? '', '1 have none')
  const none = describeStatus(status({ blobs: { total: 0, underReplicated: 0, lost: 0 } }))
  assert.is(none.at(-1), 'nothing is stored yet; 1 snapshot')
  const full = status({}).servers.map((server) => ({ ...server, readOnly: true }))
  assert.match(describeStatus(status({ servers: full }))[0] ?? '', 'takes nothing new')
  assert.match(describeStatus(status({ safeMode: true })).join('\n'), 'safe mode')
  assert.match(describeStatus(status({ servers: [] }))[0] ?? '', 'no server')
})

test('modes look as in ls, setuid, setgid and sticky bits too', () => {
  const shown = [0o644, 0o755, 0o4755, 0o2644, 0o1777, 0o1770, 0o7000].map(formatMode)
  assert.equal(shown, [
    'rw-r--r--',
    'rwxr-xr-x',
    'rwsr-xr-x',
    'rw-r-Sr--',
    'rwxrwxrwt',
    'rwxrwx--T',
    '--S--S--T',
  ])
})

test.run()
