// config.ts — which names, addresses and knobs are there? Read by entry points, bench and tests only.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { z } from 'zod'
import { HoldfastError } from './src/errors.ts'

/** To run holdfast elsewhere or beside another cluster, change hosts and ports here, or copy this
 * object into a file of your own and give it with --config. A fifth server is one more line. */
const DEFAULT_CONFIG: ConfigInput = {
  manager: { name: 'manager', host: '127.0.0.1', port: 7400 },
  servers: [
    { name: 'server-1', host: '127.0.0.1', port: 7401 },
    { name: 'server-2', host: '127.0.0.1', port: 7402 },
    { name: 'server-3', host: '127.0.0.1', port: 7403 },
    { name: 'server-4', host: '127.0.0.1', port: 7404 },
  ],
  clients: [
    {
      name: 'client-1',
      FILE_1: 'demo/letter.txt',
      FILE_2: 'demo/harbour.png',
      FILE_3: 'demo/made/measurements-1.csv',
    },
    {
      name: 'client-2',
      FILE_1: 'demo/recipe.txt',
      FILE_2: 'demo/mountain.png',
      FILE_3: 'demo/made/measurements-2.csv',
    },
  ],
}

export default DEFAULT_CONFIG

// The text of each rule is what a person reads after "allowed:".

/** A whole number from min to max. */
const whole = (min: number, max: number, unit = '') => {
  const rule = `a whole number from ${min} to ${max}${unit}`
  return z.int(rule).min(min, rule).max(max, rule)
}

const milliseconds = (min: number) => whole(min, 2 ** 31 - 1, ' (milliseconds)')

const text = (rule: string) => z.string(rule).min(1, rule).max(255, rule)

/** An object with these fields and no others; describeIssue names each unknown field. */
const fields = <S extends z.ZodRawShape>(shape: S) => {
  const names = Object.keys(shape).join(', ')
  return z.strictObject(shape, `an object with ${names}`)
}

const list = <T extends z.ZodType>(item: T, rule: string) =>
  z.array(item, rule).min(1, rule).max(4096, rule)

const Port = whole(1, 65_535)
const Host = text('a host name or an address, such as 127.0.0.1')
const Name = text('a name of 1 to 255 characters')
const FilePath = z.string('the path of a file').min(1, 'the path of a file')

const Node = fields({
  name: Name,
  /** Where others reach the node. */
  host: Host,
  port: Port,
  /** Where it listens, if elsewhere: an address, or host and port. */
  bind: z
    .preprocess(
      (value) => (typeof value === 'string' ? { host: value } : value),
      fields({ host: Host.optional(), port: Port.optional() }),
    )
    .optional(),
})

const Client = fields({
  name: Name,
  /** Demonstration files, relative to the config file. */
  FILE_1: FilePath,
  FILE_2: FilePath,
  FILE_3: FilePath,
})

/** Shared by all nodes; each has a default. */
const Timing = fields({
  /** A server's sign of life. Faster than 100 ms floods the manager. */
  heartbeatMs: milliseconds(100).default(2_000),
  /** Missed signs of life until a server is suspect. */
  suspectAfterMissed: whole(2, 100).default(5),
  /** Silence after which a server's copies no longer count. */
  deadMs: milliseconds(10).default(600_000),
  /** A chunk that another backup promised is ours after so much silence. */
  claimMs: milliseconds(10).default(10_000),
  /** How long a command waits for a manager that is away. */
  managerWaitMs: milliseconds(0).default(60_000),
  /** A backup session that nobody touches ends. */
  leaseMs: milliseconds(10).default(60_000),
})

const Limits = fields({
  /** Free space that every server leaves on its disk. */
  reserveBytes: whole(0, Number.MAX_SAFE_INTEGER, ' (bytes)').default(2 ** 30),
})

const Config = fields({
  manager: Node,
  servers: list(Node, 'a list of at least one server, each {name, host, port}'),
  clients: list(Client, 'a list of at least one client, each {name, FILE_1, FILE_2, FILE_3}'),
  /** Good copies that count as stored. */
  replicas: whole(2, 7, '; one copy is no backup').default(2),
  timing: Timing.prefault({}),
  limits: Limits.prefault({}),
}).superRefine((config, context) => {
  for (const { path, message } of contradictions(config)) {
    context.addIssue({ code: 'custom', path, message })
  }
})

export type Config = z.infer<typeof Config>
type ConfigInput = z.input<typeof Config>
type Contradiction = { path: (string | number)[]; message: string }

/** Fields that are fine alone and wrong together. */
function* contradictions(config: Config): Generator<Contradiction> {
  const seen = new Map<string, string>()
  const nodes: { path: (string | number)[]; node: z.infer<typeof Node> }[] = [
    { path: ['manager'], node: config.manager },
    ...config.servers.map((node, index) => ({ path: ['servers', index], node })),
  ]
  const taken = (what: string, path: readonly (string | number)[]): string | null => {
    const other = seen.get(what)
    seen.set(what, other ?? formatPath(path))
    return other ?? null
  }
  for (const { path, node } of nodes) {
    const byName = taken(`node ${node.name}`, path)
    if (byName) yield { path: [...path, 'name'], message: duplicate(node.name, byName) }
    const port = node.bind?.port ?? node.port
    const host = (node.bind?.host ?? node.host).replace(/^localhost$/, '127.0.0.1')
    const byPort = taken(`address ${host}:${port}`, path)
    if (byPort) {
      const field = node.bind?.port === undefined ? ['port'] : ['bind', 'port']
      yield { path: [...path, ...field], message: duplicate(port, byPort) }
    }
  }
  for (const [index, { name }] of config.clients.entries()) {
    const other = taken(`client ${name}`, ['clients', index])
    if (other) yield { path: ['clients', index, 'name'], message: duplicate(name, other) }
  }
  if (config.servers.length < config.replicas) {
    const most = `as many as there are servers (${config.servers.length})`
    const message = `found ${config.replicas}, allowed: at most ${most}`
    yield { path: ['replicas'], message }
  }
  const { deadMs, heartbeatMs, suspectAfterMissed } = config.timing
  const suspectMs = heartbeatMs * suspectAfterMissed
  if (deadMs < suspectMs) {
    const least = `heartbeatMs × suspectAfterMissed (${suspectMs})`
    const why = 'or a short pause would count as a death'
    const message = `found ${deadMs}, allowed: at least ${least}, ${why}`
    yield { path: ['timing', 'deadMs'], message }
  }
}

const duplicate = (value: string | number, other: string): string =>
  `found ${JSON.stringify(value)}, which ${other} has already; allowed: one that no other has`

/** The config of `path` (.ts, .js or .json), or this file's own; file paths made absolute.
 * BAD_CONFIG says for each wrong field where it is, what was found and what is allowed. */
export async function loadConfig(path: string | null): Promise<Config> {
  const raw = path === null ? DEFAULT_CONFIG : await readConfigFile(path)
  const folder = path === null ? import.meta.dirname : dirname(resolve(path))
  return parseConfig(raw, { folder, source: path ?? 'config.ts' })
}

/** Checks a value; `folder` is what file paths are relative to. */
export function parseConfig(
  raw: unknown,
  { folder, source }: { folder: string; source: string },
): Config {
  const parsed = Config.safeParse(raw, { reportInput: true })
  if (!parsed.success) {
    const lines = new Set(parsed.error.issues.flatMap(describeIssue))
    const mistakes = lines.size === 1 ? 'a mistake' : `${lines.size} mistakes`
    const detail = `${source} has ${mistakes}:\n${[...lines].map((line) => `  ${line}`).join('\n')}`
    throw new HoldfastError('BAD_CONFIG', detail)
  }
  const config = parsed.data
  const absolute = (client: z.infer<typeof Client>): z.infer<typeof Client> => ({
    name: client.name,
    FILE_1: resolve(folder, client.FILE_1),
    FILE_2: resolve(folder, client.FILE_2),
    FILE_3: resolve(folder, client.FILE_3),
  })
  return { ...config, clients: config.clients.map(absolute) }
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const path = formatPath(issue.path)
  if (issue.code === 'custom') return [`${path}: ${issue.message}`]
  if (issue.code !== 'unrecognized_keys') {
    return [`${path || 'the whole'}: found ${show(issue.input)}, allowed: ${issue.message}`]
  }
  return issue.keys.map((key) => {
    const found = show((issue.input as Record<string, unknown> | undefined)?.[key])
    const field = formatPath([...issue.path, key])
    return `${field}: found ${found}, but there is no such field; allowed: ${issue.message}`
  })
}

/** ['servers', 1, 'port'] → "servers[1].port". */
const formatPath = (path: readonly PropertyKey[]): string =>
  path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')

const SHOWN_MAX = 80

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const words = inJson(value) ?? inspect(value, { breakLength: Infinity })
  return words.length <= SHOWN_MAX ? words : `${words.slice(0, SHOWN_MAX)}…`
}

/** Undefined for what JSON cannot say: a config is a module, and may hold anything. */
function inJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

async function readConfigFile(path: string): Promise<unknown> {
  const file = resolve(path)
  try {
    if (extname(file) === '.json') return JSON.parse(await readFile(file, 'utf8'))
    if (['.ts', '.js', '.mjs', '.mts'].includes(extname(file))) {
      const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
      if (module.default !== undefined) return module.default
      throw new HoldfastError('BAD_CONFIG', `${path} has no default export`)
    }
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    const words = cause instanceof Error ? cause.message : String(cause)
    const reason = existsSync(file) ? words : 'there is no such file'
    throw new HoldfastError('BAD_CONFIG', `${path} cannot be read: ${reason}`, { cause })
  }
  throw new HoldfastError('BAD_CONFIG', `${path} is not a .ts, .js or .json file`)
}
