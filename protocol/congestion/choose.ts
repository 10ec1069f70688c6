// protocol/congestion/choose.ts — which controller is meant by a name?
import { Bbr } from './bbr.ts'
import type { CongestionController, CongestionName } from './controller.ts'
import { Cubic } from './cubic.ts'
import { NewReno } from './new-reno.ts'

export function chooseCongestion(
  name: CongestionName,
  parts: { nowMs: number; segmentBytes: number; randomBelow: (below: number) => number },
): CongestionController {
  if (name === 'cubic') return new Cubic(parts.segmentBytes)
  if (name === 'newreno') return new NewReno(parts.segmentBytes)
  return new Bbr(name, parts)
}
