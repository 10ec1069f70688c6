// test/server/store/memory-store.test.ts — does the memory store keep the promises?
import { MemoryStore } from '../../../src/server/store/memory-store.ts'
import { conformance } from './conformance.ts'

conformance('memory', async () => {
  const options = { capacityBytes: 2 ** 30, reserveBytes: 1_000_000 }
  const store = new MemoryStore(options)
  return {
    store,
    setRoom(bytes) {
      let usedBytes = 0
      for (const entry of store.list()) usedBytes += entry.sizeBytes
      options.capacityBytes = usedBytes + options.reserveBytes + bytes
    },
    close: async () => {},
  }
})
