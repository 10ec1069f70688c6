// src/manager/log.ts — where do the manager's words go? To whatever the entry point hands down.
export type { Log } from '../rpc/index.ts'
