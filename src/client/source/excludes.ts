// src/client/source/excludes.ts — which paths did the user ask to leave out?
import { HoldfastError } from '../../errors.ts'

/** True when an entry is to be left out. `path` is absolute, as latin1 text of its bytes. */
export type Excludes = (path: string, isFolder: boolean) => boolean

// One character of a name, on the latin1 text of its UTF-8 bytes; a stray byte counts as one too.
const ONE = '(?:[\\xc0-\\xff][\\x80-\\xbf]+|[^/])'

/**
 * Globs as in restic and git: `*` and `?` stay within a name, `**` crosses folders, `[a-z]` and
 * `[!a-z]` are classes, `\` takes the next character as it is. With a `/` in front the glob counts
 * from the root, else it fits at any depth. With a `/` at the end it fits folders only. What lies
 * below an excluded folder is never looked at. Throws BAD_USAGE for a glob that makes no sense.
 */
export function compileExcludes(globs: readonly string[]): Excludes {
  const rules = globs.map((glob) => {
    if (glob === '' || glob.includes('\0')) {
      throw new HoldfastError('BAD_USAGE', `'${glob}' is no exclude pattern: give a glob`)
    }
    const onlyFolders = glob.length > 1 && glob.endsWith('/')
    const text = Buffer.from(onlyFolders ? glob.slice(0, -1) : glob).toString('latin1')
    const anchor = text.startsWith('/') ? '^' : '(?:^|/)'
    return { onlyFolders, regexp: new RegExp(`${anchor}${translate(text, glob)}$`, 's') }
  })
  if (rules.length === 0) return () => false
  return (path, isFolder) =>
    rules.some((rule) => (isFolder || !rule.onlyFolders) && rule.regexp.test(path))
}

function translate(text: string, glob: string): string {
  let regexp = ''
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!
    if (text.startsWith('**/', at)) {
      regexp += '(?:.*/)?'
      at += 2
    } else if (text.startsWith('**', at)) {
      regexp += '.*'
      at += 1
    } else if (character === '*') regexp += '[^/]*'
    else if (character === '?') regexp += ONE
    else if (character === '[') {
      const end = text.indexOf(']', text[at + 1] === '!' ? at + 3 : at + 2)
      if (end < 0) throw new HoldfastError('BAD_USAGE', `exclude '${glob}': [ without ]`)
      regexp += classOf(text.slice(at + 1, end), glob)
      at = end
    } else if (character === '\\' && at + 1 < text.length) {
      at += 1
      regexp += literal(text[at]!)
    } else regexp += literal(character)
  }
  return regexp
}

function classOf(inside: string, glob: string): string {
  const negated = inside.startsWith('!')
  const members = (negated ? inside.slice(1) : inside).replace(/[\\\]^]/g, '\\$&')
  const regexp = negated ? `[^/${members}]` : `[${members}]`
  try {
    new RegExp(regexp)
  } catch (cause) {
    throw new HoldfastError('BAD_USAGE', `exclude '${glob}': [${inside}] is no class`, { cause })
  }
  return regexp
}

const literal = (character: string): string => character.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
