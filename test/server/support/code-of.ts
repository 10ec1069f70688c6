// test/server/support/code-of.ts — how did it fail?

/** The code that a promise rejects with, '' when it resolves. */
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => '',
    (error: { code?: string }) => error.code ?? String(error),
  )
