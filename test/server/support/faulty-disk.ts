// test/server/support/faulty-disk.ts — a real folder on a disk that fails when told to
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DiskStore, type DiskStoreOptions } from '../../../src/server/store/disk-store.ts'
import {
  type FileSystem,
  type OpenFile,
  realFileSystem,
} from '../../../src/server/store/file-system.ts'
import { makeMemoryFolder } from '../../support/memory-folder.ts'

export type Operation = 'create' | 'write' | 'datasync' | 'rename' | 'syncFolder' | 'read' | 'list'

const RESERVE_BYTES = 1_000_000

export class FaultyDisk {
  /** Error codes to throw, for each operation the next ones first. */
  readonly faults: Partial<Record<Operation, string[]>> = {}
  /** How many bytes a failing write puts on the disk before it fails. */
  tornBytes = 0
  freeBytes = 2 ** 30
  nowMs = 0
  readonly calls: Operation[] = []
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<FaultyDisk> {
    return new FaultyDisk(await makeMemoryFolder('holdfast-store-'))
  }

  get root(): string {
    return join(this.folder, 'server-1')
  }

  /** Room above the reserve. */
  setRoom(bytes: number): void {
    this.freeBytes = RESERVE_BYTES + bytes
  }

  openStore(options: Partial<DiskStoreOptions> = {}): ReturnType<typeof DiskStore.open> {
    return DiskStore.open({
      folder: this.root,
      reserveBytes: RESERVE_BYTES,
      nowMs: () => this.nowMs,
      fs: this.fs,
      ...options,
    })
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }

  get fs(): FileSystem {
    return {
      ...realFileSystem,
      create: async (path) => {
        this.#meet('create')
        return this.#wrap(await realFileSystem.create(path))
      },
      openRead: async (path) => this.#wrap(await realFileSystem.openRead(path)),
      rename: async (from, to) => {
        this.#meet('rename')
        await realFileSystem.rename(from, to)
      },
      syncFolder: async (path) => {
        this.#meet('syncFolder')
        await realFileSystem.syncFolder(path)
      },
      list: async (path) => {
        this.#meet('list')
        return realFileSystem.list(path)
      },
      freeBytes: async () => this.freeBytes,
    }
  }

  #wrap(file: OpenFile): OpenFile {
    return {
      write: async (pieces, position) => {
        try {
          this.#meet('write')
        } catch (error) {
          const torn = Buffer.concat(pieces).subarray(0, this.tornBytes)
          if (torn.length > 0) await file.write([torn], position)
          throw error
        }
        await file.write(pieces, position)
      },
      read: async (into, position) => {
        this.#meet('read')
        return file.read(into, position)
      },
      datasync: async () => {
        this.#meet('datasync')
        await file.datasync()
      },
      close: () => file.close(),
    }
  }

  #meet(operation: Operation): void {
    this.calls.push(operation)
    const code = this.faults[operation]?.shift()
    if (code) throw Object.assign(new Error(`${code}: simulated`), { code })
  }
}
