// src/manager/placement.ts — which server takes the next blob?
//
// Power of two choices (Mitzenmacher): draw two at random by free space, take the emptier. Never
// below a server's reserve; not twice on one host when there is another.
import type { Member } from './membership.ts'

export interface PlacementWish {
  readonly sizeBytes: number
  readonly exclude: readonly number[]
  /** The host that has the other replica already. */
  readonly otherHost?: string
  readonly nowMs: number
}

export interface PlacementLimits {
  /** Free space that a server keeps for itself, bytes. */
  readonly reserveBytes: number
}

/** Null when no server can take it. `random` yields [0, 1). */
export function place(
  up: readonly Member[],
  wish: PlacementWish,
  limits: PlacementLimits,
  random: () => number,
): Member | null {
  const fit = up.filter(
    (member) =>
      !wish.exclude.includes(member.number) &&
      member.load?.readOnly === false &&
      freeBytes(member) - wish.sizeBytes >= limits.reserveBytes,
  )
  // In this order: a moment's trouble is no reason to keep both copies in one place.
  const apart = preferred(fit, (member) => member.host !== wish.otherHost)
  const trusted = preferred(apart, (member) => member.avoidedUntilMs <= wish.nowMs)
  const first = draw(trusted, random)
  const second = draw(
    trusted.filter((member) => member !== first),
    random,
  )
  if (!first || !second) return first
  return fill(first) <= fill(second) ? first : second
}

/** Those that the rule holds for, or all when it holds for none. */
function preferred(
  members: readonly Member[],
  rule: (member: Member) => boolean,
): readonly Member[] {
  const good = members.filter(rule)
  return good.length > 0 ? good : members
}

const freeBytes = (member: Member): number => (member.load?.freeBytes ?? 0) - member.assignedBytes

/** What it holds or is about to hold, as a share of what it could. */
function fill(member: Member): number {
  const used = (member.load?.usedBytes ?? 0) + member.assignedBytes
  return used / Math.max(1, used + freeBytes(member))
}

/** One at random, likelier the more room it has. */
function draw(members: readonly Member[], random: () => number): Member | null {
  const total = members.reduce((sum, member) => sum + Math.max(1, freeBytes(member)), 0)
  let at = random() * total
  for (const member of members) {
    at -= Math.max(1, freeBytes(member))
    if (at < 0) return member
  }
  return members.at(-1) ?? null
}
