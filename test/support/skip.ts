// test/support/skip.ts — how is a test counted as skipped, with its reason on the screen?
import type { Test } from 'uvu'

/** The suite's own way to register a test when `reason` is null; else one that counts the test as
 * skipped and says why. `testUnless(test, hasRoot ? null : 'needs root')('name', …)` */
export function testUnless<T>(test: Test<T>, reason: string | null): Test<T> | Test<T>['skip'] {
  if (reason === null) return test
  return (...[name]: Parameters<Test<T>['skip']>) => {
    console.log(`  skipped: ${name ?? 'a test'}: ${reason}`)
    test.skip()
  }
}
