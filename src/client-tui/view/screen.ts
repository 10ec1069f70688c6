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

type Tags = Record<Style, readonly [open: string, close: string]>

const TAGS: Tags = {
  plain: ['', ''],
  dim: ['{gray-fg}', '{/}'],
  bold: ['{bold}', '{/}'],
  good: ['{green-fg}', '{/}'],
  bad: ['{red-fg}', '{/}'],
  marked: ['{inverse}', '{/}'],
}

/** With eight colours gray is shown as black, on black more often than not. */
const TAGS_OF_EIGHT: Tags = { ...TAGS, dim: ['', ''] }
const COLORS_WITH_GRAY = 16

const SERVER_ROWS = 4
const ACTIVITY_ROWS = 6
const MESSAGE_ROWS = 2
const FOOTER_ROWS = 1
const SAVED_ROWS_MIN = 3
const HELP_COLUMNS = 70

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
  const { colors = 0 } = (screen as unknown as { tput?: { colors?: number } }).tput ?? {}
  const hasGray = colors >= COLORS_WITH_GRAY
  const faint = hasGray ? { fg: 'gray' } : {}
  const tags = hasGray ? TAGS : TAGS_OF_EIGHT
  const box = (label: string): blessed.Widgets.BoxElement =>
    blessed.box({
      parent: screen,
      label: ` ${label} `,
      border: 'line',
      tags: true,
      wrap: false,
      left: 0,
      width: '100%',
      style: { border: faint, label: { fg: 'cyan' } },
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
      style: faint,
    }),
    help: blessed.box({
      parent: screen,
      label: ' keys ',
      border: 'line',
      tags: true,
      top: 'center',
      left: 'center',
      width: HELP_COLUMNS,
      hidden: true,
    }),
  }
  let last: Model | null = null
  const draw = (model: Model): void => {
    last = model
    render(screen, parts, model, tags)
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

function render(screen: blessed.Widgets.Screen, parts: Parts, model: Model, tags: Tags): void {
  const columns = Math.max(20, Number(screen.width) - 4)
  const height = Number(screen.height)
  const rows = divide(model, height - MESSAGE_ROWS - FOOTER_ROWS)
  let top = 0
  for (const part of ['servers', 'files', 'activity', 'saved'] as const) {
    place(parts[part], top, rows[part])
    top += rows[part]
  }
  const markup = (lines: readonly Line[]): string => markupOf(lines, tags)
  place(parts.message, height - MESSAGE_ROWS - FOOTER_ROWS, MESSAGE_ROWS)
  place(parts.footer, height - FOOTER_ROWS, FOOTER_ROWS)
  parts.servers.setLabel(` holdfast · ${model.clientName} · servers `)
  parts.servers.setContent(markup(presentServers(model, columns)))
  parts.files.setContent(markup(presentFiles(model, columns, rows.files - 2)))
  parts.activity.setContent(markup(presentActivity(model.activity, columns)))
  parts.saved.setContent(markup(presentSaved(model, columns, rows.saved - 2)))
  parts.message.setContent(markup(presentMessage(model, columns, MESSAGE_ROWS)))
  parts.footer.setContent(footer(model, columns + 2))
  parts.help.hidden = !model.showsHelp
  const help = helpLines()
  parts.help.width = Math.min(HELP_COLUMNS, columns + 4)
  parts.help.height = Math.min(help.length + 2, height)
  parts.help.setContent(help.map(plain).join('\n'))
  screen.render()
}

type Rows = Record<'servers' | 'files' | 'activity' | 'saved', number>

/** Rows with their borders. What a low screen has no room for is left out: of the two lists the one
 * without the focus, then the servers. */
function divide(model: Model, rows: number): Rows {
  const files = model.files.length + 2
  const saved = rows - SERVER_ROWS - files - ACTIVITY_ROWS
  if (saved >= SAVED_ROWS_MIN)
    return { servers: SERVER_ROWS, files, activity: ACTIVITY_ROWS, saved }
  const list = Math.max(3, Math.min(files, rows - 4))
  const servers = rows - list - ACTIVITY_ROWS >= SERVER_ROWS ? SERVER_ROWS : 0
  const activity = Math.max(3, Math.min(ACTIVITY_ROWS, rows - list - servers))
  const more = Math.max(0, rows - list - servers - activity)
  return model.focus === 'files'
    ? { servers, files: list + more, activity, saved: 0 }
    : { servers, files: 0, activity, saved: list + more }
}

function place(box: blessed.Widgets.BoxElement, top: number, height: number): void {
  box.top = top
  box.height = height
  box.hidden = height === 0
}

const plain = (text: string): string => blessed.escape(text)

const markupOf = (lines: readonly Line[], tags: Tags): string =>
  lines
    .map((line) =>
      line.map(({ text, style }) => `${tags[style][0]}${plain(text)}${tags[style][1]}`).join(''),
    )
    .join('\n')
