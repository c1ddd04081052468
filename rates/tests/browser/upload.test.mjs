// The form for suppliers in Debian's chromium, against the sample behind RATES_URL and with a key that RATES makes.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const base = process.env.RATES_URL;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const key = execFileSync(process.env.RATES, ["key", "create", "browser"], { encoding: "utf8" }).trim();
let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});
after(() => browser.close());

/** A page with the form; fails on what the browser complains about, save answers that are no success, and on secrets. */
async function withForm(body, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: "en-GB", ...options });
  const complaints = [];
  try {
    const page = await context.newPage();
    page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => assert.ok(!request.url().includes("rates_"), "no key in an address"));
    await page.goto(`${base}/upload`, { waitUntil: "networkidle" });
    await body(page);
    assert.deepEqual(complaints.filter((text) => !text.includes("the server responded with a status of")), []);
    assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
    assert.equal(page.url(), `${base}/upload`);
  } finally {
    await context.close();
  }
}

async function accessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
}

const sheet = (text, name = "prices.csv") => ({ name, mimeType: "text/csv", buffer: Buffer.from(text) });
const header = "Orig code;Dest code;Day;Price\n";
const result = (page) => page.locator("#result");
const button = (page, name) => page.getByRole("button", { name });

async function checkSheet(page, file, secret = key) {
  await page.getByLabel("Key with which you may write").fill(secret);
  await page.setInputFiles("#file", file);
  await button(page, "Check").click();
  await page.waitForFunction(() => !document.getElementById("check").disabled);
}

test("a sheet is checked, stored and withdrawn", () =>
  withForm(async (page) => {
    assert.ok(await button(page, "Store").isDisabled());
    // A hundred times the price that the sample has for the lane.
    await checkSheet(page, sheet(`${header}CNGGZ;EETLL;31.01.2021;1150,00\nCNGGZ;EETLL;2021-01-30;120000\n`));
    assert.match(await result(page).innerText(), /No fault: 2 rows with 2 prices on 2 days and 1 lane\. Nothing is stored yet\./);
    const warning = page.getByRole("region", { name: "Warnings" }).locator("tbody tr");
    assert.match(await warning.innerText(), /^3\s+price: 120000\s.*the mean of this lane.*\sCNGGZ;EETLL;2021-01-30;120000$/);
    await accessible(page);
    await button(page, "Store").click();
    await page.getByText(/Batch \d+ is stored: 2 rows with 2 prices/).waitFor();
    assert.ok(await button(page, "Store").isDisabled(), "it is stored once");
    const [, batch] = (await result(page).innerText()).match(/batches\/(\d+)/);
    const state = async () => {
      const answer = await fetch(`${base}/batches/${batch}`, { headers: { authorization: `Bearer ${key}` } });
      return (await answer.json()).state;
    };
    assert.equal(await state(), "done");
    await accessible(page);
    await button(page, "Check").click();
    await page.getByText(`This sheet was stored before, as batch ${batch}.`).waitFor();
    assert.ok(await button(page, "Store").isDisabled());
    await button(page, `Withdraw batch ${batch}`).click();
    await page.getByText(`Batch ${batch} is withdrawn: its 2 prices are deleted.`).waitFor();
    assert.equal(await state(), "withdrawn");
  }));

test("faults stand beside their rows", () =>
  withForm(async (page) => {
    const rows = 'CNGGZ;EETLL;2021-01-31;"1150\nor so"\n\nCNGGZ;XXXXX;2021-02-30;1\n';
    await checkSheet(page, sheet(header + rows));
    const table = page.getByRole("region", { name: "Faults" });
    const faults = await table.locator("tbody tr").allInnerTexts();
    const found = faults.map((text) => text.split("\t").map((cell) => cell.trim()));
    assert.deepEqual(found.map(([row, value, , line]) => [row, value.split(":")[0], line]), [
      ["2", "price", 'CNGGZ;EETLL;2021-01-31;"1150\nor so"'],
      ["4", "day", "CNGGZ;XXXXX;2021-02-30;1"],
      ["4", "dest_code", "CNGGZ;XXXXX;2021-02-30;1"],
    ]);
    assert.equal(await page.getByRole("alert").innerText(), "3 faults; nothing is stored.");
    assert.ok(await button(page, "Store").isDisabled());
    await accessible(page);
  }));

test("a workbook that is dropped, a wrong key and a file that is no sheet", () =>
  withForm(async (page) => {
    const workbook = await readFile(new URL("../sheets/pandas.xlsx", import.meta.url));
    const dropped = await page.evaluateHandle((bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(bytes)], "pandas.xlsx"));
      return transfer;
    }, [...workbook]);
    await page.dispatchEvent(".drop", "drop", { dataTransfer: dropped });
    await page.getByLabel("Key with which you may write").fill(key);
    await button(page, "Check").click();
    await page.getByRole("alert").waitFor();
    assert.match(await result(page).innerText(), /1 fault; nothing is stored[^]*is not a column of prices/);
    await checkSheet(page, sheet(`${header}CNGGZ;EETLL;2021-01-31;1150\n`), "rates_1_wrong");
    assert.match(await page.getByRole("alert").innerText(), /The key is unknown, revoked or expired/);
    await checkSheet(page, sheet("x", "prices.ods"));
    assert.match(await page.getByRole("alert").innerText(), /Save it as \.csv or \.xlsx/);
    await accessible(page);
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`a narrow ${colorScheme} page does not scroll sideways`, () =>
    withForm(
      async (page) => {
        await checkSheet(page, sheet(`${header}CNGGZ;XXXXX;2021-02-30;${"1".repeat(60)}\n`));
        await page.getByRole("region", { name: "Faults" }).waitFor();
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        await accessible(page);
        if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/upload-${colorScheme}.png`, fullPage: true });
      },
      { viewport: { width: 360, height: 740 }, colorScheme },
    ));
}

test("without script the page says what to do, and its link is on the first page", async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(base);
  await page.getByRole("link", { name: "Upload" }).click();
  await page.getByText("This form needs JavaScript").waitFor();
  assert.ok(!(await page.locator("form").isVisible()));
  await page.locator("summary").click();
  assert.ok(await page.getByText("rates push prices.xlsx").isVisible());
  await context.close();
});
