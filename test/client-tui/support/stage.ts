// test/client-tui/support/stage.ts — how does a test press keys and read the screen, with no terminal?
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import type {
  BackupRequest,
  BackupSummary,
  Client,
  ClusterStatus,
  CommandOptions,
  RestoreRequest,
  RestoreSummary,
  SnapshotInfo,
} from '../../../src/client/index.ts'
import { App } from '../../../src/client-tui/app.ts'

const WAIT_MS_MAX = 20_000

/** A client whose answers the test gives; what it was asked is kept. */
export class FakeClient {
  readonly clientName = 'client-1'
  readonly backups: (BackupRequest & CommandOptions)[] = []
  readonly restores: RestoreRequest[] = []
  snapshots: SnapshotInfo[] = []
  answer: (request: BackupRequest & CommandOptions) => Promise<BackupSummary> = () =>
    new Promise(() => undefined)
  restoreAnswer: () => Promise<RestoreSummary> = () => Promise.resolve(restored({}))
  statusAnswer: () => Promise<ClusterStatus> = () => Promise.resolve(clusterStatus({}))

  backup(request: BackupRequest & CommandOptions): Promise<BackupSummary> {
    this.backups.push(request)
    return this.answer(request)
  }

  restore(request: RestoreRequest): Promise<RestoreSummary> {
    this.restores.push(request)
    return this.restoreAnswer()
  }

  listSnapshots = (): Promise<SnapshotInfo[]> => Promise.resolve(this.snapshots)
  whereIs = () => Promise.resolve({ servers: [2, 3], replicasMin: 2, isComplete: true })
  status = (): Promise<ClusterStatus> => this.statusAnswer()
}

export class Stage {
  readonly client = new FakeClient()
  readonly app: App
  readonly folder: string
  readonly #input: PassThrough
  readonly #output: PassThrough & { columns: number; rows: number }

  private constructor(folder: string, columns: number, rows: number, client?: FakeClient) {
    if (client) this.client = client
    this.folder = folder
    this.#input = Object.assign(new PassThrough(), { isTTY: true, isRaw: false, setRawMode() {} })
    this.#output = Object.assign(new PassThrough(), { isTTY: true, columns, rows })
    this.#output.resume()
    this.app = new App({
      client: this.client as unknown as Client,
      files: [1, 2, 3].map((number) => ({
        label: `FILE_${number}`,
        path: join(folder, `file-${number}.txt`),
      })),
      restoreFolder: join(folder, 'restored'),
      streams: { input: this.#input, output: this.#output },
    })
  }

  /** Three files of 1,000, 2,000 and 3,000 bytes. */
  static async open({ columns = 80, rows = 24, client = new FakeClient() } = {}): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-tui-'))
    for (const number of [1, 2, 3]) {
      await writeFile(join(folder, `file-${number}.txt`), 'x'.repeat(1_000 * number))
    }
    return new Stage(folder, columns, rows, client)
  }

  press(keys: string): void {
    this.#input.write(keys)
  }

  resize(columns: number, rows: number): void {
    Object.assign(this.#output, { columns, rows })
    this.#output.emit('resize')
  }

  get lines(): string[] {
    return stripVTControlCharacters(this.app.screenshot()).replace(/\n$/, '').split('\n')
  }

  /** Resolves with the screen when it shows the words; fails with what it shows instead. */
  async shows(words: string | RegExp): Promise<string> {
    const endMs = performance.now() + WAIT_MS_MAX
    for (;;) {
      const text = this.lines.join('\n')
      if (typeof words === 'string' ? text.includes(words) : words.test(text)) return text
      if (performance.now() > endMs) throw new Error(`the screen never showed ${words}:\n${text}`)
      await new Promise((wake) => setTimeout(wake, 20))
    }
  }

  async close(): Promise<void> {
    this.app.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export const clusterStatus = (change: Partial<ClusterStatus>): ClusterStatus => ({
  clusterId: 'c'.repeat(32),
  safeMode: false,
  servers: [1, 2, 3, 4].map((number) => ({
    number,
    name: `server-${number}`,
    host: '127.0.0.1',
    port: 7400 + number,
    state: 'up',
    usedBytes: 0,
    freeBytes: 2 ** 30,
    blobs: 0,
    readOnly: false,
    lastSeenMs: 0,
  })),
  blobs: { total: 4, underReplicated: 0, lost: 0 },
  snapshots: 0,
  sessions: 0,
  ...change,
})

export const stored = (change: Partial<BackupSummary>): BackupSummary => ({
  snapshot: 'abcdef12'.repeat(8),
  parent: null,
  files: 1,
  folders: 1,
  others: 0,
  newFiles: 1,
  changedFiles: 0,
  unmodifiedFiles: 0,
  bytes: 2_000,
  newBytes: 2_000,
  storedBytes: 2_100,
  blobs: 1,
  seconds: 1,
  skipped: 0,
  warnings: 0,
  problems: [],
  notices: [],
  exitCode: 0,
  ...change,
})

export const restored = (change: Partial<RestoreSummary>): RestoreSummary => ({
  snapshot: 'abcdef12'.repeat(8),
  files: 1,
  folders: 1,
  others: 0,
  bytes: 2_000,
  writtenBytes: 2_000,
  skippedFiles: 0,
  seconds: 1,
  warnings: 0,
  problems: [],
  notices: [],
  badReplicas: [],
  exitCode: 0,
  ...change,
})

export const snapshot = (name: string, change: Partial<SnapshotInfo> = {}): SnapshotInfo => ({
  snapshot: 'abcdef12'.repeat(8),
  timeMs: Date.UTC(2026, 0, 2, 3, 4),
  clientName: 'client-1',
  host: 'here',
  paths: [Buffer.from(`/some/where/${name}`)],
  tags: [],
  files: 1,
  bytes: 2_000,
  parent: null,
  problem: null,
  ...change,
})
