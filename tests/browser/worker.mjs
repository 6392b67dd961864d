// A worker's morning: a task seen, an outcome by one tap, a second task without a reload, work without a network, two languages.

import { card, fits, must, play, signIn, step, told } from "./phone.mjs";

async function morning(context, page) {
  await signIn(page);

  step("the first task is there");
  await card(page, told.first).waitFor();
  must(await page.locator("#tasks .card").count() === 1, "one task");
  must(await page.locator("#lists").isHidden(), "a supervisor's lists are not a worker's");

  step("it fits the screen, and every button a finger");
  await fits(page);

  step("a second task comes without a reload");
  await page.evaluate(() => { window.sameAsBefore = true; });
  const posted = await fetch(`${told.gateway}/v1/events/checkpoint`, {
    method: "POST",
    headers: { authorization: `Bearer ${told.source_token}`, "content-type": "application/json" },
    body: JSON.stringify(told.second_event),
  });
  must(posted.status === 202, `the gateway says ${posted.status}`);
  await card(page, told.second).waitFor();
  must(await page.evaluate(() => window.sameAsBefore === true), "the page was loaded again");

  step("one tap records an outcome");
  await card(page, told.first).tap();
  await page.locator("#detail-title", { hasText: told.first }).waitFor();
  await fits(page);
  await page.locator("[data-outcome=screened]").tap();
  await page.locator("#listing").waitFor();
  await page.locator("#toast", { hasText: "已完成核查" }).waitFor();
  await card(page, told.first).waitFor({ state: "detached" });
  await page.locator("#unsent").waitFor({ state: "hidden" });

  step("without a network the bar says so, and what is done is kept");
  await context.setOffline(true);
  await page.locator("#connection", { hasText: "离线" }).waitFor();
  await card(page, told.second).tap();
  await page.locator("[data-outcome=not_home]").tap();
  await page.locator("#unsent", { hasText: "1" }).waitFor();
  await card(page, told.second).locator(".wait").waitFor();

  step("with a network it is sent");
  await context.setOffline(false);
  await page.locator("#connection").waitFor({ state: "hidden" });
  await page.locator("#unsent").waitFor({ state: "hidden" });
  await card(page, told.second).filter({ hasText: "已上门 1 次" }).filter({ hasText: "20 小时内完成" }).waitFor();

  step("the language changes, and changes back");
  await page.locator("#language").tap();
  await page.locator("#tab-open", { hasText: "To do" }).waitFor();
  must(await page.evaluate(() => document.documentElement.lang) === "en", "the document's language");
  must(await page.title() === "OneKnock", "the title");
  await page.locator("#language").tap();
  await page.locator("#tab-open", { hasText: "待办" }).waitFor();
}

play(morning);
