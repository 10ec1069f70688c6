// test/support/code-of.ts — with which code does a piece of work fail?

/** 'no error' when it does not fail; else the code, or the error in words. */
export async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'no error'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
