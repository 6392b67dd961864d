// A phone forgets: what was erased while it was on the screen, and everything of a mandate that is suspended or has ended, also what it had
// not sent yet; and it says why.

import { execFileSync } from "node:child_process";
import { card, expected, must, play, signIn, step, told } from "./phone.mjs";

function run(words) { execFileSync(words[0], words.slice(1), { stdio: ["ignore", "ignore", "inherit"] }); }

/** What the phone keeps over a restart, and what stands in the page, seen or not. */
function kept(page) { return page.evaluate(() => JSON.stringify(localStorage) + document.body.innerHTML); }

async function forgetting(context, page) {
  await signIn(page);
  await page.evaluate(() => { window.sameAsBefore = true; });

  step("a household's address and contact are erased while its task is open");
  await card(page, told.first).tap();
  await page.locator("#detail-title", { hasText: told.first }).waitFor();
  await page.locator("#detail", { hasText: "某人" }).waitFor();
  run(told.erase);
  await page.locator("#detail-title", { hasText: "地址不详" }).waitFor();
  await page.locator("#detail", { hasText: "某人" }).waitFor({ state: "detached" });
  must(!(await kept(page)).includes(told.first), "the erased address is still there");

  step("the mandate is suspended while a task is open: it goes, and says why");
  await page.locator("#detail .back").tap();
  await card(page, told.second).tap();
  await page.locator("#detail", { hasText: "某人" }).waitFor();
  run(told.suspend);
  await page.locator("#detail-title", { hasText: "授权已暂停" }).waitFor();
  must(!(await kept(page)).includes(told.second), "the address is still there");

  step("resumed, it is there again, also where no stream can be held open");
  await context.route("**/v1/tasks/stream*", (route) => route.abort("internetdisconnected"));
  run(told.resume);
  await page.locator("#detail .back").tap();
  await card(page, told.second).waitFor();

  step("without a network something is done, and meanwhile the mandate ends");
  await context.setOffline(true);
  await page.locator("#connection", { hasText: "离线" }).waitFor();
  await card(page, told.second).tap();
  await page.locator("[data-outcome=not_home]").tap();
  await page.locator("#unsent", { hasText: "1" }).waitFor();
  must((await kept(page)).includes("not_home"), "what is not sent is kept");
  run(told.end);
  must((await kept(page)).includes(told.second), "nobody has told the phone yet");

  step("with a network it forgets all of it");
  // It may send what it has before it is told.
  expected.push(/status of 404/);
  await context.setOffline(false);
  await page.locator("#toast").filter({ hasText: /授权已终止|任务已不在您名下/ }).waitFor();
  await card(page, told.second).waitFor({ state: "detached" });
  await page.locator("#unsent").waitFor({ state: "hidden" });
  const left = await kept(page);
  must(!left.includes(told.second) && !left.includes("not_home"), "something is still there");
  must(await page.evaluate(() => window.sameAsBefore === true), "the page was loaded again");
}

play(forgetting);
