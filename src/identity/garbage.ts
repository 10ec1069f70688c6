// src/identity/garbage.ts — who clears away what strangers leave behind?
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Frees what nobody holds any more, now: some 20 ms. V8 by itself waits until 64 MB of it have piled
 * up outside its heap, and half as much inside, which strangers could make every node of a cluster
 * keep. */
export function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return () => collect()
}
