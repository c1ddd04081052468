// The pictures of the README, by chromium, from the sample behind RATES_URL: node pictures.mjs DIRECTORY
import { chromium } from "playwright-core";

const [directory] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const desktop = { viewport: { width: 1120, height: 1060 } };
const phone = { viewport: { width: 360, height: 1160 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
for (const [name, options] of Object.entries({
  light: desktop,
  dark: { ...desktop, colorScheme: "dark" },
  phone,
})) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  const lane = "orig_code=CNGGZ&dest_code=EETLL&date_from=2021-07-01&date_to=2021-12-31";
  await page.goto(`${process.env.RATES_URL}/?${lane}`, { waitUntil: "networkidle" });
  // The first of October, which has a mean.
  await page.locator("#day").fill("92");
  await page.locator("output strong").waitFor();
  await page.screenshot({ path: `${directory}/explorer-${name}.png` });
  await context.close();
}
await browser.close();
