// src/perf/index.ts — how is a link measured?
export { systemClock, TransportError } from '../../protocol/index.ts'
export { SECONDS_MAX, STREAMS_MAX } from './control.ts'
export {
  CONGESTION_NAMES,
  type CongestionName,
  openDialling,
  openServing,
  PERF_PORT,
  type SendOptions,
} from './endpoint.ts'
export {
  type Interval,
  measureRequests,
  measureTransfer,
  type PingSummary,
  type TransferSummary,
} from './measure.ts'
export { type Measured, serveMeasurements } from './serve.ts'
