// The explorer in Debian's chromium, against the sample behind RATES_URL. `make browser-test` runs it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const base = process.env.RATES_URL;
const lane = "orig_code=CNGGZ&dest_code=EETLL";
const month = `${lane}&date_from=2021-01-01&date_to=2021-01-31`;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // In containers there is no sandbox to have; the only pages opened are our own.
    args: ["--no-sandbox"],
  });
  // A worker finds the lanes of the sample a second or two after it was loaded.
  for (let at = 0; (await (await fetch(`${base}/lanes`)).json()).lanes.length === 0; at += 1) {
    assert.ok(at < 100, "no lanes were found");
    await new Promise((done) => setTimeout(done, 200));
  }
});
after(() => browser.close());

/** Runs `body` with a page of its own; fails on anything that the browser complains about. */
async function withPage(path, body, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: "en-GB", ...options });
  const complaints = [];
  try {
    const page = await context.newPage();
    page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`${base}${path}`, { waitUntil: "networkidle" });
    await body(page, context, complaints);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const rates = async (query) => (await (await fetch(`${base}/rates?${query}`)).json()).rates;
const drawn = (page) => page.$eval(".picture img", (image) => image.complete && image.naturalWidth);
const slider = (page) => page.getByRole("slider", { name: "day of the chart" });
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** A day of the API as the page writes it. */
const dated = (day) => `${Number(day.slice(8))} ${months[Number(day.slice(5, 7)) - 1]} ${day.slice(0, 4)}`;
const dollars = (value) => `$${new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format(value)}`;

/** What the page says of a day of one lane, by an answer with all statistics. */
function said({ day, price, count, low, midlow, median, midhigh, high }) {
  const band = (name, from, to) => `${name} ${dollars(from)} to ${dollars(to)}`;
  const spread = [`median ${dollars(median)}`, band("25 to 75 %", midlow, midhigh), band("2.5 to 97.5 %", low, high)];
  const unknown = ["average", "median", "25 to 75 %", "2.5 to 97.5 %"].map((label) => `${label} –`);
  const known = price === null ? unknown : [`average ${dollars(price)}`, ...spread];
  return [dated(day), ...known, `prices ${count ?? 0}`].join(" ");
}

/** What is read above the chart. */
const reading = async (page) => (await page.locator(".reading").innerText()).replace(/\s+/g, " ").trim();

/** The middle of a day of the picture. */
async function positionOf(page, index, days) {
  const [width, height] = await page.$eval(".picture", (box) => [box.clientWidth, box.clientHeight]);
  const [left, right] = await page.$eval("#chart", ({ dataset }) => [Number(dataset.left), Number(dataset.right)]);
  const scale = width / (await drawn(page));
  return { x: left * scale + ((width - (left + right) * scale) * (index + 0.5)) / days, y: height / 2 };
}

async function accessible(page) {
  // Through the debugger, which the page's policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
}

test("type, choose, see the chart, share the address, go back", () =>
  withPage("/", async (page, context) => {
    await page.locator("#origin-1").pressSequentially("guangzo");
    await page.getByRole("option", { name: /Guangzhou/ }).click();
    assert.equal(await page.inputValue("#origin-1"), "CNGGZ");
    await page.locator("#destination-1").pressSequentially("tallin");
    await page.getByRole("option", { name: /Tallinn.*EETLL/ }).click();
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/orig_code=CNGGZ&dest_code=EETLL$/);
    assert.equal(await page.innerText("h1"), "Guangzhou (CNGGZ) to Tallinn (EETLL)");
    await page.waitForLoadState("networkidle");
    assert.ok((await drawn(page)) > 0);

    await page.getByRole("link", { name: "1 month" }).click();
    await page.waitForURL(/date_from=2021-11-30/);
    const shared = await context.newPage();
    await shared.goto(page.url());
    assert.equal(await shared.inputValue("#date_from"), "2021-11-30");
    assert.equal(await shared.innerText("h1"), await page.innerText("h1"));

    await page.goBack();
    await page.waitForURL(/dest_code=EETLL$/);
    await page.goBack();
    await page.waitForURL(`${base}/`);
  }));

test("a day is read by the mouse, above the chart and at the pointer, as the API has it", () =>
  withPage(`/?${month}`, async (page) => {
    const answers = await rates(`${month}&order=asc&statistics=full`);
    for (const index of [0, 12, 30]) {
      await page.locator(".picture").hover({ position: await positionOf(page, index, 31) });
      assert.equal(await reading(page), said(answers[index]));
      const tip = (await page.locator(".tip").innerText()).replace(/\s+/g, " ");
      const { day, price } = answers[index];
      assert.equal(tip, `${dated(day)} average ${price === null ? "–" : dollars(price)}`);
    }
    await page.mouse.move(0, 0);
    assert.equal(await page.locator(".tip").isVisible(), false);
  }));

test("the whole chart and its reading are in sight on a laptop", async () => {
  const four = [["CNSGH", "NLRTM"], ["CNSGH", "USLAX"], ["NLRTM", "USNYC"]];
  const compared = four.map(([origin, destination]) => `&orig_code=${origin}&dest_code=${destination}`).join("");
  for (const path of [`/?${month}`, `/?${month}${compared}`]) {
    await withPage(
      path,
      async (page) => {
        for (const part of [".reading", ".picture"]) {
          const { y, height } = await page.locator(part).boundingBox();
          assert.ok(y > 0 && y + height <= 768, `${part} of ${path}: ${y} to ${y + height}`);
        }
      },
      { viewport: { width: 1366, height: 768 } },
    );
  }
});

test("nothing moves while days are read", async () => {
  const compared = `${month}&orig_code=CNSGH&dest_code=NLRTM&values=index&previous_year=true`;
  for (const viewport of [{ width: 360, height: 740 }, { width: 1366, height: 768 }]) {
    for (const path of [`/?${month}`, `/?${compared}`]) {
      await withPage(
        path,
        async (page) => {
          await slider(page).focus();
          await page.keyboard.press("Home");
          const places = new Set();
          for (let day = 0; day < 31; day += 1) {
            places.add((await page.locator(".picture").boundingBox()).y);
            await page.keyboard.press("ArrowRight");
          }
          assert.equal(places.size, 1, `${path} at ${viewport.width} px: ${[...places]}`);
        },
        { viewport },
      );
    }
  }
});

test("a tap reads a day on a phone", () =>
  withPage(
    `/?${month}`,
    async (page) => {
      const answers = await rates(`${month}&order=asc&statistics=full`);
      await slider(page).tap({ position: await positionOf(page, 4, 31) });
      assert.equal(await reading(page), said(answers[4]));
      assert.ok(await page.locator(".tip").isVisible());
    },
    { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
  ));

test("the keyboard alone is enough", () =>
  withPage("/", async (page) => {
    const press = async (...keys) => {
      for (const key of keys) await page.keyboard.press(key);
    };
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.role);
    const tabTo = async (wanted) => {
      for (let at = 0; at < 40 && (await focused()) !== wanted; at += 1) await press("Tab");
      assert.equal(await focused(), wanted);
    };
    await tabTo("origin-1");
    await page.keyboard.type("guangz");
    await page.getByRole("option").first().waitFor();
    await press("ArrowDown");
    assert.equal(await page.getAttribute("#origin-1", "aria-activedescendant"), "origin-1-choices-0");
    await press("Enter");
    assert.equal(await page.inputValue("#origin-1"), "CNGGZ");
    await tabTo("destination-1");
    await page.keyboard.type("EETLL");
    await page.getByRole("option").first().waitFor();
    await press("Escape");
    assert.equal(await page.getByRole("option").count(), 0);
    await press("Enter");
    await page.waitForURL(/dest_code=EETLL$/);
    await tabTo("slider");
    await press("ArrowLeft", "ArrowLeft");
    const [, , day] = await rates(`${lane}&date_from=2021-12-01&date_to=2021-12-29&statistics=full`);
    assert.equal(await reading(page), said(day));
    assert.match(await slider(page).getAttribute("aria-valuetext"), new RegExp(`^${dated(day.day)}: average`));
    await press("Home");
    assert.equal(await slider(page).getAttribute("aria-valuenow"), "0");
    await press("Shift+ArrowRight", "Shift+PageUp", "Enter");
    await page.waitForURL(/date_from=2021-09-30&date_to=2021-10-31/);
  }));

test("Enter takes the first suggestion, even one that has not arrived yet", () =>
  withPage("/", async (page) => {
    await page.focus("#origin-1");
    await page.keyboard.type("shang");
    await page.getByRole("option", { name: /Shanghai/ }).waitFor();
    await page.keyboard.press("Enter");
    assert.equal(await page.inputValue("#origin-1"), "CNSGH");
    await page.focus("#destination-1");
    await page.keyboard.type("los ang");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.getElementById("destination-1").value === "USLAX");
    assert.equal(new URL(page.url()).search, "");
    await page.keyboard.press("Enter");
    await page.waitForURL(/orig_code=CNSGH&dest_code=USLAX$/);
  }));

test("only places that have prices with the other end are offered, with how many", () =>
  withPage("/", async (page) => {
    const choices = async (id, text) => {
      await page.keyboard.press("Escape");
      await page.fill(`#${id}`, text);
      const answered = ([list, name]) => !document.querySelector(list).hidden || document.querySelector(name).textContent;
      await page.waitForFunction(answered, [`#${id}-choices`, `#${id}-name`]);
      return page.locator(`#${id}-choices li`).allInnerTexts();
    };
    const [{ prices, lanes }] = (await (await fetch(`${base}/places?q=CNGGZ&role=origin`)).json()).places;
    const [free] = await choices("origin-1", "guangz");
    assert.ok(free.endsWith(`${lanes} ports, ${new Intl.NumberFormat("en").format(prices)} prices`), free);
    await page.keyboard.press("Enter");
    const [lane] = (await (await fetch(`${base}/lanes?origin=CNGGZ&destination=EETLL`)).json()).lanes;
    const [tallinn] = await choices("destination-1", "tallinn");
    assert.ok(tallinn.endsWith(` ${new Intl.NumberFormat("en").format(lane.prices)} prices`), tallinn);
    assert.deepEqual(await choices("destination-1", "guangz"), []);
    assert.equal(await page.innerText("#destination-1-name"), "No such place has prices with the other");
  }));

test("the first page shows the market, and its lanes open", () =>
  withPage("/", async (page) => {
    const { lanes } = await (await fetch(`${base}/lanes?kind=ports&limit=1000`)).json();
    const steady = lanes.filter((one) => one.latest_day > "2021-12-25" && one.mean_days >= 30 && one.mean_days * 2 >= one.priced_days);
    const section = page.locator(".market section").filter({ hasText: "Moved most in 7 days" });
    const rows = await section.locator("tbody tr").allInnerTexts();
    assert.equal(rows.length, Math.min(5, steady.length));
    const [most] = steady.sort((a, b) => Math.abs(b.change_7) - Math.abs(a.change_7));
    const percent = `${most.change_7 < 0 ? "−" : "+"}${Math.abs(most.change_7 * 100).toFixed(1)} %`;
    assert.match(rows[0], new RegExp(`${most.orig_code}.*${most.dest_code}`));
    assert.ok(rows[0].includes(percent), `${rows[0]} has not ${percent}`);
    assert.ok((await section.locator("polyline").first().getAttribute("points")).split(" ").length > 20);
    await section.getByRole("link").first().click();
    await page.waitForURL(new RegExp(`orig_code=${most.orig_code}&dest_code=${most.dest_code}`));
  }));

test("four lanes are compared, a fifth is refused in words, and one is taken away again", () =>
  withPage(`/?${month}`, async (page, _, complaints) => {
    const others = [["CNSGH", "NLRTM"], ["CNSGH", "USLAX"], ["NLRTM", "USNYC"]];
    for (const [at, [origin, destination]] of others.entries()) {
      await page.getByText("Compare with another lane").click();
      await page.fill(`#origin-${at + 2}`, origin);
      await page.fill(`#destination-${at + 2}`, destination);
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Compare" }).click();
      await page.waitForURL(new RegExp(`dest_code=${destination}`));
    }
    assert.equal(await page.getByText("Compare with another lane").count(), 0);
    await page.waitForLoadState("networkidle");
    assert.ok((await drawn(page)) > 0);
    assert.equal(await page.locator(".reading li").count(), 4);

    await page.goto(`${page.url()}&orig_code=USNYC&dest_code=NLRTM`);
    assert.match(await page.getByRole("alert").innerText(), /5 lanes are too many.*Remove 1/);
    assert.equal(await page.inputValue("#destination-5"), "NLRTM");
    assert.ok(complaints.splice(0).every((line) => line.includes("400")));
    await page.getByRole("link", { name: "Remove lane 5" }).click();
    await page.waitForURL((url) => url.searchParams.getAll("orig_code").length === 4);
    await page.getByRole("link", { name: "Remove lane 4" }).click();
    await page.waitForURL((url) => url.searchParams.getAll("orig_code").length === 3);
  }));

test("lanes are compared as difference and as index, and a choice is shown at once", () =>
  withPage(`/?${month}&orig_code=CNSGH&dest_code=NLRTM`, async (page) => {
    const both = await Promise.all(
      [lane, "orig_code=CNSGH&dest_code=NLRTM"].map((one) => rates(`${one}&date_from=2021-01-01&date_to=2021-01-31&order=asc`)),
    );
    const known = both[0].map((_, at) => at).filter((at) => both.every((one) => one[at].price !== null));
    const at = known[3];
    const shown = async (values) => {
      await page.getByLabel("Shown as").selectOption(values);
      await page.waitForURL(new RegExp(`values=${values}`));
      await page.waitForLoadState("networkidle");
      await page.locator(".picture").hover({ position: await positionOf(page, at, 31) });
      return (await page.locator(".reading li b").allInnerTexts())[3];
    };
    const difference = Math.round(both[1][at].price - both[0][at].price);
    const number = new Intl.NumberFormat("en").format(difference);
    assert.equal(await shown("difference"), difference > 0 ? `+${number}` : number);
    const index = Math.round((both[1][at].price / both[1][known[0]].price) * 100);
    assert.equal(await shown("index"), String(index));
    assert.equal(await page.inputValue("#date_from"), "2021-01-01");
    await page.getByLabel("Moving average").selectOption("7");
    await page.waitForURL(/values=index.*moving_average=7|moving_average=7.*values=index/);
    await page.getByLabel("Year before").check();
    await page.waitForURL(/previous_year=true/);
    assert.match(await page.locator(".reading li").last().innerText(), /a year before/);
  }));

test("a year is a line of weeks, which are read, zoomed to, and exchanged for other intervals", () => {
  const year = `${lane}&date_from=2021-01-01&date_to=2021-12-31`;
  return withPage(`/?${year}`, async (page) => {
    const weeks = await rates(`${year}&interval=week&order=asc`);
    const week = page.getByRole("slider", { name: "week of the chart" });
    assert.equal(await week.getAttribute("aria-valuemax"), String(weeks.length - 1));
    const dayOf = (at) => weeks.slice(0, at).reduce((sum, { day, last_day }) => sum + (Date.parse(last_day) - Date.parse(day)) / 86_400_000 + 1, 0);
    const at = 20;
    await page.locator(".picture").hover({ position: await positionOf(page, dayOf(at) + 5, 365) });
    const { day, last_day, price, count } = weeks[at];
    assert.equal(await reading(page), `${dated(day)} to ${dated(last_day)} average ${dollars(price)} prices ${count}`);

    await week.focus();
    await page.keyboard.press("Home");
    for (const key of ["Shift+ArrowRight", "Shift+ArrowRight", "Enter"]) await page.keyboard.press(key);
    await page.waitForURL(new RegExp(`date_from=2021-01-01&date_to=${weeks[2].last_day}`));
    await slider(page).waitFor();
    await page.goBack();
    await page.getByLabel("Interval").selectOption("quarter");
    await page.waitForURL(/interval=quarter/);
    const quarters = await rates(`${year}&interval=quarter`);
    assert.equal(await page.locator(".reading b").first().innerText(), dollars(quarters[0].price));
    await page.click("summary >> text=Table");
    assert.equal(await page.locator("tbody tr").count(), 4);
    // A moving average is of days, so no interval goes with it.
    await page.getByLabel("Moving average").selectOption("30");
    await page.waitForURL(/moving_average=30/);
    assert.ok(await page.getByLabel("Interval").isDisabled());
    assert.equal(await slider(page).getAttribute("aria-valuemax"), "364");
    await page.getByLabel("Moving average").selectOption("1");
    await page.waitForURL((url) => !url.searchParams.has("moving_average") && !url.searchParams.has("interval"));
  });
});

test("dragging over days zooms, and there is a way back and to all days", () =>
  withPage(`/?${month}`, async (page) => {
    assert.equal(await page.getByRole("button", { name: "Back" }).isVisible(), false);
    const box = await page.locator(".picture").boundingBox();
    const [from, to] = [await positionOf(page, 4, 31), await positionOf(page, 19, 31)];
    await page.mouse.move(box.x + from.x, box.y + from.y);
    await page.mouse.down();
    await page.mouse.move(box.x + to.x, box.y + to.y, { steps: 4 });
    assert.ok(await page.locator(".zone").isVisible());
    await page.mouse.up();
    await page.waitForURL(/date_from=2021-01-05&date_to=2021-01-20/);
    await page.getByRole("button", { name: "Back" }).click();
    await page.waitForURL(`${base}/?${month}`);
    await page.getByRole("link", { name: "All" }).click();
    await page.waitForURL(/range=all/);
    assert.match(await page.inputValue("#date_from"), /^2015-12-/);
  }));

test("without JavaScript it is a form and a picture", () =>
  withPage(
    "/",
    async (page) => {
      await page.fill("#origin-1", "guangzhou");
      await page.fill("#destination-1", "baltic sea");
      await page.fill("#date_from", "2021-01-01");
      await page.fill("#date_to", "2021-01-31");
      await page.click("text=Show");
      await page.waitForURL(/date_to=2021-01-31/);
      assert.equal(await page.innerText("h1"), "Guangzhou (CNGGZ) to Baltic Sea");
      await page.waitForLoadState("networkidle");
      assert.equal(await page.locator(".picture img").evaluate((image) => image.naturalWidth > 0), true);
      assert.equal(await page.locator(".slider").count(), 0);
      assert.match(await reading(page), /^\d+ Jan 2021 average \$/);
      await page.click("summary >> text=Table");
      assert.equal(await page.locator("tbody tr").count(), 31);
      await page.getByLabel("Interval").selectOption("week");
      await page.click("text=Show");
      await page.waitForURL(/interval=week/);
      assert.match(await reading(page), /^25 Jan 2021 to 31 Jan 2021 average \$/);
    },
    { javaScriptEnabled: false },
  ));

const screens = {
  light: {},
  dark: { colorScheme: "dark" },
  "360 px": { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
  "4K": { viewport: { width: 3840, height: 2160 } },
};
for (const [name, options] of Object.entries(screens)) {
  test(`nobody is shut out: ${name}`, async () => {
    const compared = `${month}&orig_code=CNSGH&dest_code=NLRTM`;
    const paths = ["/", `/?${month}`, `/?${compared}&previous_year=true`, `/?${lane}&date_from=2021-01-01&date_to=2021-12-31`];
    for (const path of paths) {
      await withPage(
        path,
        async (page) => {
          for (const summary of await page.locator("summary").all()) await summary.click();
          await page.getByRole("slider").focus();
          await page.keyboard.press("ArrowLeft");
          await page.locator(".tip").waitFor();
          const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
          assert.ok(needed <= there, `${path} is ${needed} px wide of ${there}`);
          await accessible(page);
          await page.focus("#origin-1");
          await page.fill("#origin-1", "guang");
          await page.getByRole("option").first().waitFor();
          await accessible(page);
        },
        options,
      );
    }
  });
}

test("what is wrong is said at once, and a link leads to what was meant", () =>
  withPage("/?orig_code=Guangzho&dest_code=EETLL&date_from=2021-02-30", async (page, _, complaints) => {
    assert.match(await page.getByRole("alert").innerText(), /Guangzho.*CNGGZ[^]*2021-02-30/);
    assert.equal(await page.getAttribute("#origin-1", "aria-invalid"), "true");
    assert.equal(await page.inputValue("#date_from"), "2021-02-30");
    await accessible(page);
    await page.fill("#date_from", "");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/orig_code=Guangzho&dest_code=EETLL$/);
    await page.getByRole("link", { name: "Guangzhou (CNGGZ)" }).click();
    await page.waitForURL(/orig_code=CNGGZ&dest_code=EETLL$/);
    // The pages themselves are 400, which the browser notes.
    assert.ok(complaints.splice(0).every((line) => line.includes("400")));
  }));

test("an empty form says what is missing", () =>
  withPage("/", async (page, _, complaints) => {
    await page.getByRole("button", { name: "Show" }).click();
    assert.match(await page.getByRole("alert").innerText(), /origin is missing[^]*destination is missing/);
    assert.ok(complaints.splice(0).every((line) => line.includes("400")));
  }));

test("the day column of the table stays in sight", () =>
  withPage(
    `/?${month}&orig_code=CNSGH&dest_code=NLRTM`,
    async (page) => {
      await page.click("summary >> text=Table");
      const table = page.locator(".table");
      await table.evaluate((box) => box.scrollTo(10_000, 300));
      assert.ok((await table.evaluate((box) => box.scrollLeft)) > 50);
      const [box, day] = [await table.boundingBox(), await page.locator("tbody th").nth(12).boundingBox()];
      assert.ok(day.x >= box.x && day.x < box.x + 10, `the day is at ${day.x}, its table at ${box.x}`);
    },
    { viewport: { width: 360, height: 740 } },
  ));

test("a link and a request are copied", () =>
  withPage(`/?${lane}`, async (page, context) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const copied = async (name) => {
      await page.getByRole("button", { name }).click();
      await page.getByText("Copied.").waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    const days = "date_from=2021-09-30&date_to=2021-12-29";
    assert.equal(await copied("Copy as curl"), `curl '${base}/rates?${days}&${lane}'`);
    assert.equal(await copied("Copy link"), `${base}/?${lane}&${days}`);
  }));

test("the description of the API runs its examples", () =>
  withPage("/docs/", async (page, _, complaints) => {
    assert.equal(await page.title(), "API · Freight rates");
    const run = async (id) => {
      await page.locator(`#${id}`).getByRole("button", { name: "Run" }).click();
      await page.locator(`#${id} .answer p`).waitFor();
      return page.locator(`#${id} .answer`).innerText();
    };
    const answer = await run("get_rates");
    assert.match(answer, /200 OK, application\/json/);
    assert.ok(answer.includes(`curl '${base}/rates?${"date_from=2021-01-01&date_to=2021-01-31"}&${lane}'`), answer);
    assert.deepEqual(JSON.parse(await page.locator("#get_rates .answer pre").last().innerText()), { rates: await rates(month) });
    await run("get_rates_svg");
    await page.waitForFunction(() => document.querySelector("#get_rates_svg .answer img").naturalWidth === 960);
    await page.fill("#get_port-code", "CNSGH");
    assert.match(await run("get_port"), /"name": "Shanghai"/);
    await page.selectOption("#post_prices-type", "text/csv");
    assert.match(await page.inputValue("#post_prices-body"), /^orig_code,dest_code,day,price\n/);
    assert.match(await run("post_prices"), /401 Unauthorized/);
    await page.fill("#key", "rates_1_wrong");
    const refused = await run("list_batches");
    assert.match(refused, /-H 'authorization: Bearer \$RATES_KEY'/);
    assert.ok(!refused.includes("rates_1_wrong"));
    assert.ok(complaints.splice(0).every((line) => line.includes("401")));
  }));

for (const [name, options] of Object.entries(screens)) {
  test(`nobody is shut out of the description of the API: ${name}`, () =>
    withPage(
      "/docs/",
      async (page) => {
        await page.locator("#get_rates").getByRole("button", { name: "Run" }).click();
        await page.locator("#get_rates .answer pre").last().waitFor();
        for (const summary of await page.locator("summary").all()) await summary.click();
        const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(needed <= there, `${needed} px wide of ${there}`);
        await accessible(page);
      },
      options,
    ));
}

test("without JavaScript the description of the API links to examples", () =>
  withPage(
    "/docs/",
    async (page) => {
      assert.equal(await page.getByRole("button", { name: "Run" }).count(), 0);
      await page.locator("#get_port").getByRole("link", { name: "An example" }).click();
      await page.waitForURL(`${base}/ports/CNGGZ`);
    },
    { javaScriptEnabled: false },
  ));

/** Notes on the page how far things move. */
function watchShifts() {
  globalThis.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) globalThis.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}

/** Runs `body` with a phone's page and the session of its debugger. */
async function withPhone(body) {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 }, isMobile: true });
  try {
    const page = await context.newPage();
    await page.addInitScript(watchShifts);
    return await body(page, await context.newCDPSession(page));
  } finally {
    await context.close();
  }
}

/** What goes over the wire on a slow network, by path, and how far things move. */
function loadSlowly(path) {
  return withPhone(async (page, session) => {
    const paths = new Map();
    const wire = {};
    session.on("Network.responseReceived", ({ requestId, response }) => paths.set(requestId, new URL(response.url)));
    session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
      const url = paths.get(requestId);
      // The browser's own icons are not fetched.
      if (url.protocol !== "data:") wire[url.pathname] = encodedDataLength;
    });
    await session.send("Network.enable");
    // 1.6 Mbit/s, 150 ms away.
    const network = { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 94_000 };
    await session.send("Network.emulateNetworkConditions", network);
    await page.goto(`${base}${path}`, { waitUntil: "networkidle" });
    return { wire, shift: await page.evaluate(() => globalThis.shift) };
  });
}

test("the page is small before its data, and nothing moves", async () => {
  for (const path of ["/", `/?${month}`]) {
    const { wire, shift } = await loadSlowly(path);
    const { "/rates.svg": data, ...page } = wire;
    const bytes = Object.values(page).reduce((sum, size) => sum + size);
    console.log(`${path}: ${bytes} bytes before data, ${data} of data: ${JSON.stringify(page)}`);
    assert.ok(Object.keys(page).length >= 3, "page, style and script");
    assert.ok(bytes < 100_000, `${bytes} bytes`);
    assert.equal(shift, 0);
  }
});

/**
 * The milliseconds that the page's thread works from the answer of the chart until it has painted it, with a quarter of this
 * machine's speed. Time of the processor and not of the clock, because other work on the machine must not fail the test; so
 * the time that other threads need to bring it to the screen is not in it.
 */
function drawSlowly(path) {
  return withPhone(async (page, session) => {
    const events = [];
    session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
    const traced = new Promise((resolve) => session.on("Tracing.tracingComplete", resolve));
    await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    const categories = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"];
    await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: categories } });
    // The answer comes when the page is laid out and its script has run, so that their time is not counted as the chart's.
    const isReady = page.locator(".slider").waitFor();
    await page.route(/rates\.svg/, async (route) => {
      await isReady;
      await route.continue();
    });
    await page.goto(`${base}${path}`, { waitUntil: "networkidle" });
    await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
    await session.send("Tracing.end");
    await traced;
    const request = events.find(({ name, args }) => name === "ResourceSendRequest" && args.data.url.includes("/rates.svg"));
    const { requestId } = request.args.data;
    const answered = events.find(({ name, args }) => name === "ResourceFinish" && args.data.requestId === requestId);
    const painted = events.find(({ name, args }) => name === "PaintImage" && args.data.url?.includes("/rates.svg"));
    const onThread = events.filter(({ pid, tid }) => pid === answered.pid && tid === answered.tid);
    // A task that paints goes on after it; all of it is counted.
    const tasks = onThread.filter(({ name, ts, dur }) => name.endsWith("RunTask") && ts + dur >= answered.ts && ts <= painted.ts);
    const outer = tasks.filter((task) => !tasks.some((one) => one !== task && one.ts <= task.ts && one.ts + one.dur > task.ts + task.dur));
    return outer.reduce((sum, { tdur }) => sum + tdur / 1000, 0);
  });
}

test("the chart is painted within 100 ms of its answer, with a quarter of the speed", async () => {
  const path = `/?${lane}&date_from=2021-07-01&date_to=2021-12-31`;
  const times = [];
  // One is enough: other work on the machine, which shares its caches, makes a load slower, and none makes it faster.
  do times.push(await drawSlowly(path));
  while (times.at(-1) >= 100 && times.length < 10);
  console.log(`chart painted ${times.map((time) => time.toFixed(0)).join(", ")} ms after its answer`);
  assert.ok(times.at(-1) > 0 && times.at(-1) < 100, `${times} ms`);
});
