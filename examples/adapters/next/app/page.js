import { unstable_cache } from "next/cache";
import { createElement } from "react";

export const revalidate = 3600;

const number = unstable_cache(async () => Math.random(), ["number"], { tags: ["numbers"] });

export default async function Page() {
  return createElement("p", null, `number ${await number()} rendered ${Date.now()}`);
}
