// src/client-tui/app.ts — what happens when a key is pressed? Joins model, engine and view.
import { statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { type Client, displayPath } from '../client/index.ts'
import { isHoldfastError } from '../errors.ts'
import { type Action, keyFor } from './keys.ts'
import {
  begin,
  type FileChoice,
  handleEvent,
  handleFailure,
  handleRestored,
  handleSaved,
  handleStatus,
  handleStored,
  handleWhere,
  initialModel,
  isBusy,
  type Model,
  move,
  serverName,
  withTypedPath,
} from './model.ts'
import { openView, type ScreenStreams, type View } from './view/screen.ts'

export interface AppOptions {
  readonly client: Client
  readonly files: readonly { readonly label: string; readonly path: string }[]
  /** Where restored snapshots go unless something else is typed. */
  readonly restoreFolder: string
  readonly streams?: ScreenStreams
}

const STATUS_MS = 2_000
const DRAW_MS = 80
/** Of so many snapshots, newest first, the screen finds out where they are. */
const WHERE_MAX = 30

export class App {
  readonly #options: AppOptions
  readonly #view: View
  readonly #done = Promise.withResolvers<void>()
  readonly #stop = new AbortController()
  #model: Model
  #drawTimer: NodeJS.Timeout | null = null
  #statusTimer: NodeJS.Timeout | null = null

  constructor(options: AppOptions) {
    this.#options = options
    const { client, restoreFolder } = options
    const files = options.files.map(({ label, path }, index) =>
      choiceOf(path, { key: String(index + 1), label }),
    )
    this.#model = initialModel({ clientName: client.clientName, files, restoreFolder })
    this.#view = openView((name, character) => this.#handleKey(name, character), options.streams)
    this.#view.draw(this.#model)
    void this.#watchStatus()
    void this.#loadSaved()
  }

  /** Resolves when the person leaves. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  get model(): Model {
    return this.#model
  }

  screenshot(): string {
    return this.#view.screenshot()
  }

  close(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    if (this.#drawTimer) clearTimeout(this.#drawTimer)
    if (this.#statusTimer) clearTimeout(this.#statusTimer)
    this.#view.close()
    this.#done.resolve()
  }

  #set(model: Model): void {
    this.#model = model
    if (this.#stop.signal.aborted) return
    this.#drawTimer ??= setTimeout(() => {
      this.#drawTimer = null
      this.#view.draw(this.#model)
    }, DRAW_MS)
  }

  #handleKey(name: string, character: string | undefined): void {
    if (name === 'C-c') this.close()
    else if (this.#model.typing) this.#typeKey(name, character)
    else {
      const key = keyFor(character === '?' ? '?' : name)
      if (!key) return
      const why = key.blocked(this.#model)
      if (why) this.#set({ ...this.#model, message: { kind: 'bad', text: why } })
      else this.#act(key.action)
    }
    this.#view.draw(this.#model)
  }

  #act(action: Action): void {
    const model = this.#model
    switch (action) {
      case 'pick-1':
      case 'pick-2':
      case 'pick-3':
        this.#pick(Number(action.at(-1)) - 1)
        break
      case 'enter':
        if (model.focus === 'saved') this.#askTarget()
        else void this.#store(model.files[model.picked])
        break
      case 'type-path':
        this.#set({ ...model, typing: { purpose: 'path', text: '' } })
        break
      case 'restore':
        this.#askTarget()
        break
      case 'switch':
        this.#set({ ...model, focus: model.focus === 'files' ? 'saved' : 'files' })
        break
      case 'up':
        this.#set(move(model, -1))
        break
      case 'down':
        this.#set(move(model, 1))
        break
      case 'help':
        this.#set({ ...model, showsHelp: !model.showsHelp })
        break
      case 'quit':
        this.close()
        break
    }
  }

  #pick(index: number): void {
    const file = this.#model.files[index]
    if (!file) return
    const text = `${file.label} ${basename(file.path)}: press Enter to store it.`
    const message = { kind: 'info', text } as const
    this.#set({ ...this.#model, picked: index, focus: 'files', message })
  }

  #askTarget(): void {
    const row = this.#model.saved[this.#model.savedIndex]
    if (!row) return
    const text = join(this.#model.restoreFolder, row.snapshot.slice(0, 8))
    this.#set({ ...this.#model, focus: 'saved', typing: { purpose: 'target', text } })
  }

  #typeKey(name: string, character: string | undefined): void {
    const { typing } = this.#model
    if (!typing) return
    if (name === 'escape') this.#set({ ...this.#model, typing: null })
    else if (name === 'enter') this.#typed(typing.purpose, typing.text.trim())
    else if (name === 'backspace') this.#retype(typing.text.slice(0, -1))
    else if (name === 'C-u') this.#retype('')
    else if (character && character >= ' ' && character !== '\u007f') {
      this.#retype(typing.text + character)
    }
  }

  #retype(text: string): void {
    const { typing } = this.#model
    if (typing) this.#set({ ...this.#model, typing: { ...typing, text } })
  }

  #typed(purpose: 'path' | 'target', text: string): void {
    if (text === '' || isBusy(this.#model)) {
      this.#set({ ...this.#model, typing: null })
      return
    }
    const path = resolve(text.replace(/^~(?=\/|$)/, homedir()))
    if (purpose === 'target') void this.#restore(path)
    else {
      const file = choiceOf(path, { key: '', label: '' })
      this.#set(withTypedPath(this.#model, file))
      void this.#store(file)
    }
  }

  async #store(file: FileChoice | undefined): Promise<void> {
    if (!file || isBusy(this.#model)) return
    this.#set(begin(this.#model, 'backup', basename(file.path) || file.path, null))
    try {
      const summary = await this.#options.client.backup({
        paths: [file.path],
        scan: true,
        signal: this.#stop.signal,
        onEvent: (event) => this.#set(handleEvent(this.#model, event)),
      })
      this.#set(handleStored(this.#model, summary))
      await this.#loadSaved()
    } catch (error) {
      this.#set(handleFailure(this.#model, textOf(error)))
    }
  }

  async #restore(target: string): Promise<void> {
    const row = this.#model.saved[this.#model.savedIndex]
    if (!row) return
    const what = row.paths.map((path) => basename(path) || path).join(' ')
    this.#set(begin(this.#model, 'restore', what, row.bytes))
    try {
      const summary = await this.#options.client.restore({
        snapshot: row.snapshot,
        target,
        signal: this.#stop.signal,
        onEvent: (event) => this.#set(handleEvent(this.#model, event)),
      })
      this.#set(handleRestored(this.#model, summary, target))
    } catch (error) {
      this.#set(handleFailure(this.#model, textOf(error)))
    }
  }

  async #loadSaved(): Promise<void> {
    const { client } = this.#options
    const { signal } = this.#stop
    try {
      const snapshots = await client.listSnapshots({ signal })
      const rows = snapshots.toReversed().map((info) => ({
        snapshot: info.snapshot,
        timeMs: info.timeMs,
        clientName: info.clientName,
        paths: info.problem ? ['(unreadable)'] : info.paths.map((path) => displayPath(path)),
        bytes: info.bytes,
        servers: null,
      }))
      this.#set(handleSaved(this.#model, rows))
      for (const row of this.#model.saved.slice(0, WHERE_MAX)) {
        if (row.servers !== null) continue
        const { servers } = await client.whereIs({ snapshot: row.snapshot, signal })
        const names = servers.map((number) => serverName(this.#model, number))
        this.#set(handleWhere(this.#model, row.snapshot, names))
      }
    } catch (error) {
      if (signal.aborted) return
      this.#set({ ...this.#model, message: { kind: 'bad', text: textOf(error) } })
    }
  }

  async #watchStatus(): Promise<void> {
    const { signal } = this.#stop
    try {
      const status = await this.#options.client.status({ signal })
      const before = this.#model.status?.snapshots ?? status.snapshots
      this.#set(handleStatus(this.#model, status))
      // Another client has stored something.
      if (status.snapshots !== before) await this.#loadSaved()
    } catch (error) {
      if (!signal.aborted) this.#set({ ...this.#model, statusProblem: textOf(error) })
    }
    if (signal.aborted) return
    this.#statusTimer = setTimeout(() => void this.#watchStatus(), STATUS_MS)
  }
}

function choiceOf(path: string, choice: { key: string; label: string }): FileChoice {
  try {
    const stats = statSync(path)
    return { ...choice, path, sizeBytes: stats.size, isFolder: stats.isDirectory() }
  } catch {
    return { ...choice, path, sizeBytes: null }
  }
}

const textOf = (error: unknown): string =>
  isHoldfastError(error) ? `${error.detail} [${error.code}]` : String(error)
