// The pictures of the README, by chromium, from the sample behind RATES_URL: node pictures.mjs DIRECTORY
import { chromium } from "playwright-core";

const [directory] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const desktop = { viewport: { width: 1200, height: 690 } };
const phone = { viewport: { width: 360, height: 960 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
for (const [name, options] of Object.entries({
  light: desktop,
  dark: { ...desktop, colorScheme: "dark" },
  phone,
})) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  const lane = "orig_code=CNGGZ&dest_code=EETLL&date_from=2021-07-01&date_to=2021-12-31";
  await page.goto(`${process.env.RATES_URL}/?${lane}`, { waitUntil: "networkidle" });
  // The first of October, the 93rd of 184 days, which has a mean. The margins of the plot are in pixels of the picture.
  const x = await page.$eval("#chart", ({ dataset: { left, right } }) => {
    const { clientWidth: width, naturalWidth } = document.querySelector(".picture img");
    const scale = width / naturalWidth;
    return left * scale + ((width - (Number(left) + Number(right)) * scale) * 92.5) / 184;
  });
  await page.locator(".picture").hover({ position: { x, y: 150 } });
  await page.screenshot({ path: `${directory}/explorer-${name}.png` });
  await context.close();
}
// The first page has the market once the worker has summed up the lanes.
const market = await browser.newPage({ ...desktop, viewport: { width: 1200, height: 1000 }, locale: "en-GB" });
await expectMarket(market);
await market.screenshot({ path: `${directory}/explorer-market.png` });
await browser.close();

async function expectMarket(page) {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    await page.goto(`${process.env.RATES_URL}/`, { waitUntil: "networkidle" });
    if (await page.locator(".market table").count()) return;
    await page.waitForTimeout(200);
  }
  throw new Error("the first page shows no market");
}
