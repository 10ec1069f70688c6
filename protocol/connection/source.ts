// protocol/connection/source.ts — which addresses belong to one sender, as far as one can tell?

export const isLoopback = (host: string): boolean => host === '::1' || host.startsWith('127.')

/** The /24 of an IPv4 address, the /64 of an IPv6 one: what one site usually has. */
export function sourceOf(host: string): string {
  if (!host.includes(':')) return host.slice(0, host.lastIndexOf('.'))
  const [head = '', tail = ''] = host.split('::') as [string, string?]
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const zeros = host.includes('::') ? Math.max(0, 8 - front.length - back.length) : 0
  const groups = [...front, ...new Array<string>(zeros).fill('0'), ...back]
  return groups.slice(0, 4).join(':')
}
