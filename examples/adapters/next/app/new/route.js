import { revalidateTag } from "next/cache";

export const dynamic = "force-dynamic";

/** Has everything with the tag made anew. */
export async function GET() {
  revalidateTag("numbers", { expire: 0 });
  return new Response("revalidated\n");
}
