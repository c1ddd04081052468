// Compiles only if the types say what the API does. It is never run.
import type { components, operations, paths } from "generated/rates";

type Schemas = components["schemas"];
type Query = operations["get_rates"]["parameters"]["query"];
type Upload = NonNullable<operations["post_prices"]["requestBody"]>["content"];

export const query: Query = {
  date_from: "2021-01-01",
  date_to: "2021-01-31",
  orig_code: "CNGGZ",
  dest_code: "north_europe",
  order: "asc",
  statistics: "full",
};
// @ts-expect-error no such order
export const wrongOrder: Query = { ...query, order: "sideways" };
// @ts-expect-error no such statistics
export const wrongStatistics: Query = { ...query, statistics: "some" };
// @ts-expect-error date_to is missing
export const noEnd: Query = { date_from: "2021-01-01", orig_code: "CNGGZ", dest_code: "EETLL" };

export const months: Query = {
  date_from: "2021-01-01",
  date_to: "2021-12-31",
  lane: ["CNGGZ:EETLL", "china_south:baltic_sea"],
  interval: "month",
  widen: "each",
  min_count: 10,
};
// @ts-expect-error no such interval
export const wrongInterval: Query = { ...months, interval: "decade" };

export const picture: operations["get_rates_svg"]["parameters"]["query"] = {
  ...query,
  theme: "dark",
  compare: ["CNGGZ:EETLL"],
};
// @ts-expect-error no such theme
export const wrongTheme: typeof picture = { ...picture, theme: "pink" };

export const json: Upload["application/json"] = {
  prices: [{ orig_code: "CNGGZ", dest_code: "EETLL", day: "2021-01-31", price: 1150 }],
};
export const window: Upload["application/json"] = {
  prices: [{ orig_code: "CNGGZ", dest_code: "EETLL", valid_from: "2021-01-01", valid_to: "2021-01-31", price: 1150 }],
};
// @ts-expect-error a price needs its destination
export const noPort: Upload["application/json"] = { prices: [{ orig_code: "CNGGZ", day: "2021-01-31", price: 1150 }] };
export const csv: Upload["text/csv"] = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1150\n";
export const ndjson: Upload["application/x-ndjson"] = '{"orig_code":"CNGGZ"}\n';

// A parameter may be given several times: lane=A:B&lane=C:D.
const parameters = (query: Query): URLSearchParams =>
  new URLSearchParams(Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)])));

export async function getRates(url: string): Promise<(number | null)[]> {
  const path: keyof paths = "/rates";
  const response = await fetch(`${url}${path}?${parameters(query)}`);
  if (!response.ok) {
    throw new Error(explain((await response.json()) as Schemas["Problem"]));
  }
  const { rates } = (await response.json()) as Schemas["Rates"];
  return rates.map((rate) => rate.price);
}

export function explain(problem: Schemas["Problem"]): string {
  const fields = (problem.errors ?? []).map(({ field, suggestions }) => `${field}: ${suggestions?.join(" or ")}`);
  return [`${problem.status} ${problem.title}`, problem.detail, ...fields, problem.request_id].join("\n");
}

export function summarize({ total, rows, errors }: Schemas["UnacceptablePrices"]): string {
  return `${total} faults in ${rows} rows, first ${errors?.[0]?.detail}`;
}

export function isOver(batch: Schemas["Batch"]): boolean {
  // @ts-expect-error no such state
  if (batch.state === "nonsense") return false;
  return !["queued", "checking", "storing"].includes(batch.state);
}
