// src/cli/format.ts — how do numbers look to a person?
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** 75 → "1:15". */
export function formatSeconds(seconds: number): string {
  const whole = Math.floor(seconds)
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${String(whole % 60).padStart(2, '0')}`
  const hours = Math.floor(minutes / 60)
  return `${hours}:${String(minutes % 60).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`
}

export const plural = (count: number, word: string): string =>
  `${count} ${word}${count === 1 ? '' : 's'}`

/** Local date and time to the second, as ls shows it. */
export function formatTime(timeMs: number): string {
  const at = new Date(timeMs)
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** 0o4755 → "rwsr-xr-x", as ls shows it. */
export function formatMode(mode: number): string {
  const three = (shift: number, isSpecial: boolean, letter: string): string => {
    const bits = mode >> shift
    const x = bits & 1 ? 'x' : '-'
    const special = bits & 1 ? letter : letter.toUpperCase()
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${isSpecial ? special : x}`
  }
  const [setuid, setgid, sticky] = [0o4000, 0o2000, 0o1000].map((bit) => (mode & bit) !== 0)
  return (
    three(6, setuid === true, 's') + three(3, setgid === true, 's') + three(0, sticky === true, 't')
  )
}
