// src/client-tui/view/screen.ts — how do lines get onto a terminal? The only file that knows blessed.
import blessed from 'blessed'
import { footer, helpLines } from '../keys.ts'
import type { Model } from '../model.ts'
import {
  type Line,
  presentActivity,
  presentFiles,
  presentMessage,
  presentSaved,
  presentServers,
  type Style,
} from '../present/lines.ts'

export interface ScreenStreams {
  readonly input?: NodeJS.ReadableStream
  readonly output?: NodeJS.WritableStream
}

export interface View {
  draw(model: Model): void
  /** Gives the terminal back as it was. */
  close(): void
  /** What is on the screen, for tests. */
  screenshot(): string
}

const TAGS: Record<Style, readonly [open: string, close: string]> = {
  plain: ['', ''],
  dim: ['{gray-fg}', '{/}'],
  bold: ['{bold}', '{/}'],
  good: ['{green-fg}', '{/}'],
  bad: ['{red-fg}', '{/}'],
  marked: ['{inverse}', '{/}'],
}

const SERVER_ROWS = 4
const ACTIVITY_ROWS = 6
const MESSAGE_ROWS = 2
const FOOTER_ROWS = 1

/** `onKey` gets every key by blessed's name, and the character that it types, if any. */
export function openView(
  onKey: (name: string, character: string | undefined) => void,
  streams: ScreenStreams = {},
): View {
  const screen = blessed.screen({
    smartCSR: true,
    fullUnicode: true,
    title: 'holdfast',
    ...(streams.input && { input: streams.input }),
    ...(streams.output && { output: streams.output }),
  } as unknown as blessed.Widgets.IScreenOptions)
  const box = (label: string): blessed.Widgets.BoxElement =>
    blessed.box({
      parent: screen,
      label: ` ${label} `,
      border: 'line',
      tags: true,
      wrap: false,
      left: 0,
      width: '100%',
      style: { border: { fg: 'gray' }, label: { fg: 'cyan' } },
    })
  const parts = {
    servers: box('servers'),
    files: box('your files'),
    activity: box('under way'),
    saved: box('stored'),
    message: blessed.box({ parent: screen, tags: true, left: 1, width: '100%-2' }),
    footer: blessed.box({
      parent: screen,
      left: 1,
      height: 1,
      width: '100%-2',
      style: { fg: 'gray' },
    }),
    help: blessed.box({
      parent: screen,
      label: ' keys ',
      border: 'line',
      tags: true,
      top: 'center',
      left: 'center',
      width: '80%',
      height: 14,
      hidden: true,
    }),
  }
  let last: Model | null = null
  const draw = (model: Model): void => {
    last = model
    render(screen, parts, model)
  }
  screen.on('keypress', (character: string | undefined, key: BlessedKey) => {
    // blessed tells of one Enter twice: as it came, and again under another name.
    if (key.name === 'enter' && key.sequence === '\r') return
    const isEnter = key.name === 'return' || key.name === 'linefeed'
    onKey(isEnter ? 'enter' : (key.full ?? key.name ?? ''), character)
  })
  screen.on('resize', () => {
    if (last) draw(last)
  })
  return {
    draw,
    close: () => screen.destroy(),
    screenshot: () => String((screen as unknown as { screenshot(): string }).screenshot()),
  }
}

interface BlessedKey {
  readonly name?: string
  readonly full?: string
  readonly sequence?: string
}

interface Parts {
  readonly servers: blessed.Widgets.BoxElement
  readonly files: blessed.Widgets.BoxElement
  readonly activity: blessed.Widgets.BoxElement
  readonly saved: blessed.Widgets.BoxElement
  readonly message: blessed.Widgets.BoxElement
  readonly footer: blessed.Widgets.BoxElement
  readonly help: blessed.Widgets.BoxElement
}

function render(screen: blessed.Widgets.Screen, parts: Parts, model: Model): void {
  const columns = Math.max(20, Number(screen.width) - 4)
  const height = Number(screen.height)
  const fileRows = model.files.length + 2
  const savedTop = SERVER_ROWS + fileRows + ACTIVITY_ROWS
  const savedRows = Math.max(3, height - savedTop - MESSAGE_ROWS - FOOTER_ROWS)
  place(parts.servers, 0, SERVER_ROWS)
  place(parts.files, SERVER_ROWS, fileRows)
  place(parts.activity, SERVER_ROWS + fileRows, ACTIVITY_ROWS)
  place(parts.saved, savedTop, savedRows)
  place(parts.message, height - MESSAGE_ROWS - FOOTER_ROWS, MESSAGE_ROWS)
  place(parts.footer, height - FOOTER_ROWS, FOOTER_ROWS)
  parts.servers.setLabel(` holdfast · ${model.clientName} · servers `)
  parts.servers.setContent(markup(presentServers(model, columns)))
  parts.files.setContent(markup(presentFiles(model, columns)))
  parts.activity.setContent(markup(presentActivity(model.activity, columns)))
  parts.saved.setContent(markup(presentSaved(model, columns, savedRows - 2)))
  parts.message.setContent(markup(presentMessage(model, columns, MESSAGE_ROWS)))
  parts.footer.setContent(footer(model))
  parts.help.hidden = !model.showsHelp
  parts.help.setContent(helpLines().map(plain).join('\n'))
  screen.render()
}

function place(box: blessed.Widgets.BoxElement, top: number, height: number): void {
  box.top = top
  box.height = height
}

const plain = (text: string): string => blessed.escape(text)

const markup = (lines: readonly Line[]): string =>
  lines
    .map((line) =>
      line.map(({ text, style }) => `${TAGS[style][0]}${plain(text)}${TAGS[style][1]}`).join(''),
    )
    .join('\n')
