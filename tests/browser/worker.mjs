// A worker's morning on a phone-sized page, in a real browser. Told by the environment where site, browser and playwright-core are
// (tests/tests/browser.rs); ends with 0 when every step went as it says, else with the step that did not.

import { createRequire } from "node:module";

const told = JSON.parse(process.env.ONEKNOCK_BROWSER);
const { chromium } = createRequire(told.playwright + "/")("playwright-core");
const PATIENCE_MS = 30000;
const FINGER_PX = 44;

let step = "the browser starts";
const wrong = [];
const must = (right, what) => { if (!right) { throw new Error(what); } };

async function main() {
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
      if (message.type() === "error" && !network) { wrong.push(`console: ${message.text()}`); }
    });
    await morning(context, page);
    must(wrong.length === 0, wrong.join("; "));
  } finally {
    await browser.close();
  }
}

async function morning(context, page) {
  const card = (address) => page.locator("#tasks .card", { hasText: address });

  step = "signing in by the link";
  await page.goto(`${told.inbox}/sign-in?token=${encodeURIComponent(told.token)}`);
  await page.locator("#listing").waitFor();
  must(!page.url().includes(told.token), "the token stays in the address bar");

  step = "the first task is there";
  await card(told.first).waitFor();
  must(await page.locator("#tasks .card").count() === 1, "one task");

  step = "it fits the screen, and every button a finger";
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  must(wide <= 0, `${wide} px too wide`);
  await fitsFingers(page);

  step = "a second task comes without a reload";
  await page.evaluate(() => { window.sameAsBefore = true; });
  const posted = await fetch(`${told.gateway}/v1/events/checkpoint`, {
    method: "POST",
    headers: { authorization: `Bearer ${told.source_token}`, "content-type": "application/json" },
    body: JSON.stringify(told.second_event),
  });
  must(posted.status === 202, `the gateway says ${posted.status}`);
  await card(told.second).waitFor();
  must(await page.evaluate(() => window.sameAsBefore === true), "the page was loaded again");

  step = "one tap records an outcome";
  await card(told.first).tap();
  await page.locator("#detail-title", { hasText: told.first }).waitFor();
  await fitsFingers(page);
  await page.locator("[data-outcome=screened]").tap();
  await page.locator("#listing").waitFor();
  await page.locator("#toast", { hasText: "已完成核查" }).waitFor();
  await card(told.first).waitFor({ state: "detached" });
  await page.locator("#unsent").waitFor({ state: "hidden" });

  step = "without a network the bar says so, and what is done is kept";
  await context.setOffline(true);
  await page.locator("#connection", { hasText: "离线" }).waitFor();
  await card(told.second).tap();
  await page.locator("[data-outcome=not_home]").tap();
  await page.locator("#unsent", { hasText: "1" }).waitFor();
  await card(told.second).locator(".wait").waitFor();

  step = "with a network it is sent";
  await context.setOffline(false);
  await page.locator("#connection").waitFor({ state: "hidden" });
  await page.locator("#unsent").waitFor({ state: "hidden" });
  await card(told.second).filter({ hasText: "已上门 1 次" }).waitFor();

  step = "the language changes, and changes back";
  await page.locator("#language").tap();
  await page.locator("#tab-open", { hasText: "To do" }).waitFor();
  must(await page.evaluate(() => document.documentElement.lang) === "en", "the document's language");
  must(await page.title() === "OneKnock", "the title");
  await page.locator("#language").tap();
  await page.locator("#tab-open", { hasText: "待办" }).waitFor();
}

/** Every button that can be seen is as large as a finger in both directions. */
async function fitsFingers(page) {
  const small = await page.evaluate((least) => {
    const boxes = Array.from(document.querySelectorAll("button, select, .call")).map((one) => ({ one, box: one.getBoundingClientRect() }));
    const seen = boxes.filter(({ box }) => box.width > 0 && box.height > 0);
    return seen.filter(({ box }) => box.width < least || box.height < least).map(({ one, box }) => `${one.id || one.textContent}: ${box.width} x ${box.height}`);
  }, FINGER_PX);
  must(small.length === 0, `smaller than ${FINGER_PX} px: ${small.join(", ")}`);
}

main().then(() => process.exit(0), (error) => {
  console.error(`${step}: ${error && error.stack || error}${wrong.length ? "\n" + wrong.join("\n") : ""}`);
  process.exit(1);
});
