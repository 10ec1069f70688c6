// config.ts — which names, addresses and knobs are there? Read by entry points, bench and tests only.
import { readFile } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { HoldfastError } from './src/errors.ts'

const Port = z.int().min(1, 'a port is 1..65535').max(65_535, 'a port is 1..65535')
const Name = z.string().min(1, 'give it a name').max(255)
const Milliseconds = z
  .int()
  .min(10)
  .max(2 ** 31 - 1)
const Host = z.string().min(1, 'a host name or address').max(255)

const Node = z.strictObject({
  name: Name,
  /** Where others reach the node. */
  host: Host,
  port: Port,
  /** Where it listens, if elsewhere. */
  bind: z.strictObject({ host: Host.optional(), port: Port.optional() }).optional(),
})

const Client = z.strictObject({
  name: Name,
  /** Demonstration files, relative to the config file. */
  FILE_1: z.string().min(1),
  FILE_2: z.string().min(1),
  FILE_3: z.string().min(1),
})

/** Shared by all nodes; each has a default. */
const Timing = z.strictObject({
  /** A server's sign of life. Faster than 100 ms floods the manager. */
  heartbeatMs: Milliseconds.min(100).default(2_000),
  /** Missed signs of life until a server is suspect. */
  suspectAfterMissed: z.int().min(2).max(100).default(5),
  /** Silence after which a server's copies no longer count. */
  deadMs: Milliseconds.default(600_000),
  /** A chunk that another backup promised is ours after so much silence. */
  claimMs: Milliseconds.default(10_000),
  /** A backup session that nobody touches ends. */
  leaseMs: Milliseconds.default(60_000),
})

const Limits = z.strictObject({
  /** Free space that every server leaves on its disk, bytes. */
  reserveBytes: z
    .int()
    .min(0)
    .default(2 ** 30),
})

const Config = z
  .strictObject({
    manager: Node,
    servers: z.array(Node).min(1, 'at least one server').max(4096),
    clients: z.array(Client).min(1, 'at least one client').max(4096),
    /** Good copies that count as stored. */
    replicas: z.int().min(2, 'one copy is no backup').max(7).default(2),
    timing: Timing.prefault({}),
    limits: Limits.prefault({}),
  })
  .superRefine((config, context) => {
    const seen = new Map<string, string>()
    const nodes = [['manager', config.manager] as const].concat(
      config.servers.map((server, index) => [`servers[${index}]`, server] as never),
    )
    for (const [path, node] of nodes) {
      for (const what of [
        `name ${node.name}`,
        `port ${node.bind?.host ?? node.host}:${node.port}`,
      ]) {
        const other = seen.get(what)
        if (other) {
          const message = `${what} is taken by ${other}; choose another`
          context.addIssue({
            code: 'custom',
            path: [path, what.startsWith('port') ? 'port' : 'name'],
            message,
          })
        }
        seen.set(what, path)
      }
    }
    if (config.servers.length < config.replicas) {
      const message = `${config.replicas} replicas need as many servers, not ${config.servers.length}`
      context.addIssue({ code: 'custom', path: ['replicas'], message })
    }
    const suspectMs = config.timing.heartbeatMs * config.timing.suspectAfterMissed
    if (config.timing.deadMs < suspectMs) {
      const message = `${config.timing.deadMs} is less than suspectAfterMissed heartbeats (${suspectMs}); a short pause would count as a death`
      context.addIssue({ code: 'custom', path: ['timing', 'deadMs'], message })
    }
  })

export type Config = z.infer<typeof Config>

/** To run holdfast elsewhere or beside another cluster, change hosts and ports here, or copy this
 * object into a file of your own and give it with --config. */
const DEFAULT_CONFIG: z.input<typeof Config> = {
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
    const lines = parsed.error.issues.map((issue) => `  ${describeIssue(issue)}`)
    throw new HoldfastError('BAD_CONFIG', `${source} has a mistake:\n${lines.join('\n')}`)
  }
  const config = parsed.data
  return {
    ...config,
    clients: config.clients.map((client) => ({
      name: client.name,
      FILE_1: resolve(folder, client.FILE_1),
      FILE_2: resolve(folder, client.FILE_2),
      FILE_3: resolve(folder, client.FILE_3),
    })),
  }
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
  const found =
    issue.code === 'custom' ? '' : ` (found ${JSON.stringify(issue.input) ?? 'nothing'})`
  return `${path || 'the whole'}: ${issue.message}${found.slice(0, 200)}`
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
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError('BAD_CONFIG', `${path} cannot be read: ${reason}`, { cause })
  }
  throw new HoldfastError('BAD_CONFIG', `${path} is not a .ts, .js or .json file`)
}
