// A phone-sized page in a real browser, and what every test of it shares. Told by the environment where site, browser and
// playwright-core are (tests/tests/browser.rs); ends with 0 when every step went as it says, else with the step that did not.

import { createRequire } from "node:module";

export const told = JSON.parse(process.env.ONEKNOCK_BROWSER);
const { chromium } = createRequire(told.playwright + "/")("playwright-core");
const PATIENCE_MS = 30000;
const FINGER_PX = 44;

let current = "the browser starts";
const wrong = [];

/** What the console may say in the story that is played. */
export const expected = [];

/** What is done from now on. */
export function step(what) { current = what; }

export function must(right, what) { if (!right) { throw new Error(what); } }

async function main(story) {
  const browser = await chromium.launch({
    executablePath: told.chromium,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, locale: "zh-CN" });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    page.on("pageerror", (error) => wrong.push(`page: ${error}`));
    page.on("console", (message) => {
      // The browser itself says so when a request fails because there is no network; that is one of the steps.
      const network = /net::ERR_(INTERNET_DISCONNECTED|NETWORK_CHANGED|NETWORK_IO_SUSPENDED)/.test(message.text());
      const isExpected = network || expected.some((one) => one.test(message.text()));
      if (message.type() === "error" && !isExpected) { wrong.push(`console: ${message.text()}`); }
    });
    await story(context, page);
    must(wrong.length === 0, wrong.join("; "));
  } finally {
    await browser.close();
  }
}

/** The list's card of an address. */
export function card(page, address) { return page.locator("#tasks .card", { hasText: address }); }

/** Signs in by the link; the token does not stay. */
export async function signIn(page) {
  step("signing in by the link");
  await page.goto(`${told.inbox}/sign-in?token=${encodeURIComponent(told.token)}`);
  await page.locator("#listing").waitFor();
  must(!page.url().includes(told.token), "the token stays in the address bar");
}

/** Nothing is wider than the screen, and every button that can be seen is as large as a finger in both directions. */
export async function fits(page) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  must(wide <= 0, `${wide} px too wide`);
  const small = await page.evaluate((least) => {
    const boxes = Array.from(document.querySelectorAll("button, select, .call, .tick, input[type=text]")).map((one) => ({ one, box: one.getBoundingClientRect() }));
    const seen = boxes.filter(({ box }) => box.width > 0 && box.height > 0);
    return seen.filter(({ box }) => box.width < least || box.height < least).map(({ one, box }) => `${one.id || one.textContent}: ${box.width} x ${box.height}`);
  }, FINGER_PX);
  must(small.length === 0, `smaller than ${FINGER_PX} px: ${small.join(", ")}`);
}

/** Plays a story to its end, and ends the process. */
export function play(story) {
  main(story).then(() => process.exit(0), (error) => {
    console.error(`${current}: ${error && error.stack || error}${wrong.length ? "\n" + wrong.join("\n") : ""}`);
    process.exit(1);
  });
}
