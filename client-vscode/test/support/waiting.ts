/** Asks until the answer is yes. For what no locator of the browser can wait for. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 40_000,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${limitMs / 1000} s went by without: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}
