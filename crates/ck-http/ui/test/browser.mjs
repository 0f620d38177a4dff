// A real browser, and everything that goes wrong in it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: FLAGS });
}

/** A page that notes what it should not do; `clean` asserts that it did none of it. */
export async function open(browser, origin, { width = 1280, height = 900, scheme = "light", settle = true } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: 1 });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) wrong.push(`request to ${request.url()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(`${origin}/ui`);
  if (settle) await page.waitForSelector('[data-figure="version"]');
  return {
    page,
    wrong,
    /** While the server is away the browser itself reports each refused connection. */
    clean(except = /^$/) {
      assert.deepEqual(wrong.filter((one) => !except.test(one)), []);
    },
    close: () => context.close(),
  };
}

export const figure = (page, name) => page.locator(`[data-figure="${name}"]`).first().innerText();

/** Waits until `look` gives what `wanted` takes, and says what it last gave when it does not. */
export async function until(what, look, wanted, ms = 60_000) {
  const end = Date.now() + ms;
  let last;
  while (Date.now() < end) {
    try {
      last = await look();
      if (wanted(last)) return last;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what}: not within ${ms} ms; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
}
