// The objects that the benches store: records of a shop, of about 1 KiB as JSON, as applications have them: some members nested, some strings
// long, all ASCII. All have one shape, and no two are alike.

/** Number `n` of them. */
export function product(n: number): object {
  const text =
    "Keeps 1.2 litres hot for twelve hours, or cold for a day: double walls, no plastic inside, and a lid that is a cup.";
  const slug = `thermos-flask-stainless-steel-${n}`;
  return {
    id: 4_000_000 + n,
    sku: `KT-${String(n).padStart(8, "0")}`,
    name: "Thermos flask, stainless steel, 1.2 l",
    slug,
    description: `${text} ${text.toUpperCase()}`,
    price: { amount: 3490 + (n % 1000), currency: "EUR", taxRate: 0.19, discounted: n % 7 === 0 },
    stock: [
      { warehouse: "FRA-2", units: n % 211, reserved: 4 },
      { warehouse: "LYS-1", units: 0, reserved: 0 },
    ],
    categories: ["kitchen", "outdoor", "flasks"],
    images: [`https://cdn.example.com/p/${slug}/front.webp`, `https://cdn.example.com/p/${slug}/open.webp`],
    attributes: { colour: "anthracite", volume: 1.2, weight: 0.61, material: "18/8 stainless steel" },
    rating: { average: 4.62, count: n % 997 },
    brand: { id: 77, name: "Northern Kettle Works" },
    createdAt: "2024-03-11T08:15:30.000Z",
    updatedAt: "2026-10-02T19:44:01.512Z",
    available: true,
    successor: null,
  };
}
