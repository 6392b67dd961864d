// A supervisor's round: what must be decided, what is to be assigned, and somebody unknown who is registered at a door.

import { card, fits, must, play, signIn, step, told } from "./phone.mjs";

async function round(context, page) {
  const list = (name) => page.locator(`#lists [data-list=${name}]`);
  await signIn(page);

  step("who refused stands on the supervisor's list alone");
  await card(page, told.refusing).waitFor();
  await list("supervisor").tap();
  await card(page, told.met).waitFor({ state: "detached" });
  await card(page, told.refusing).waitFor();
  must(await page.locator("#tasks .card").count() === 1, "one to be decided");
  must(await list("supervisor").getAttribute("aria-pressed") === "true", "the list is chosen");
  await fits(page);

  step("what nobody claims is assigned to a grid");
  await list("triage").tap();
  await card(page, told.lost).tap();
  await page.locator("#detail-title", { hasText: told.lost }).waitFor();
  // Drawn once more when the whole task has come.
  await page.locator("#household").waitFor({ state: "attached" });
  await page.locator("#more summary").tap();
  await fits(page);
  await page.locator("#to-grid").selectOption("g2");
  await page.locator("[data-action=hand_back]", { hasText: "分派到该网格" }).tap();
  await page.locator("#listing").waitFor();
  await card(page, told.lost).waitFor({ state: "detached" });
  await page.locator("#empty", { hasText: "这里没有任务" }).waitFor();

  step("nothing is overdue");
  await list("overdue").tap();
  await page.locator("#empty", { hasText: "这里没有任务" }).waitFor();

  step("the lists speak English too");
  await page.locator("#language").tap();
  await page.locator("#lists", { hasText: "To decide" }).waitFor();
  await fits(page);
  await page.locator("#language").tap();

  step("two people whom nobody knows are registered where they live");
  await page.locator("#tab-open").tap();
  await card(page, told.strangers).tap();
  await page.locator("#detail-title", { hasText: told.strangers }).waitFor();
  // Drawn once more when the whole task has come.
  await page.locator("#household").waitFor({ state: "attached" });
  await page.locator("#more summary").tap();
  await page.locator("#people .tick").nth(1).waitFor();
  await fits(page);
  await page.locator("#household").fill(told.household);
  await page.locator("[data-action=register]").tap();
  await page.locator("#toast", { hasText: "登记到户" }).waitFor();
  await page.locator("#unsent").waitFor({ state: "hidden" });
  await page.locator("#detail .row", { hasText: "已撤回" }).waitFor();
  await page.locator(".back").tap();
  await card(page, told.strangers).waitFor({ state: "detached" });
}

play(round);
