// test/support/golden-packets.ts — which packets does protocol/README.md show in full?
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'

const page = readFileSync(new URL('../../protocol/README.md', import.meta.url), 'utf8')
const section = page.slice(page.indexOf('## Golden packets'))
/** The page leaves out the padding of the HELLO. */
const ZEROS = '(zerostobyte1183)'
const HELLO_BYTES = 1_200

/** The packet below a name in a code block of the page. */
export function goldenPacket(name: string): Buffer {
  const [, found] = section.match(new RegExp(`^${name} +(\\S.*(?:\\n +.*)*)$`, 'm')) ?? []
  assert.ok(found, `${name} is not on the page`)
  const hex = found!.replaceAll(/\s/g, '')
  const [head, tail] = hex.split(ZEROS) as [string, string?]
  const zeros = tail === undefined ? 0 : HELLO_BYTES - (head.length + tail.length) / 2
  return Buffer.from(head + '00'.repeat(zeros) + (tail ?? ''), 'hex')
}
