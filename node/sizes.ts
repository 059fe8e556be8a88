// Sizes in bytes as options have them: a number, or a text such as "512mb", which means here what it means to the daemon. Pure.

import { InvalidArgumentError, show } from "./errors.js";

const SIZE = /^(\d+(?:\.\d+)?) *(b|[kmgt]i?b)?$/i;
const POWERS = "bkmgt";

/** Checks a size; undefined = none. Throws InvalidArgumentError. */
export function checkSize(value: unknown, name: string): number | string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  if (typeof value === "string" && SIZE.test(value)) return value;
  throw new InvalidArgumentError(
    `${name} must be a positive integer or a text such as "512mb", got ${show(value)}`,
  );
}

/** The bytes of a size: "mb" = 1,000,000, "mib" = 1,048,576. */
export function bytesOf(size: number | string): number {
  if (typeof size === "number") return size;
  const [, count, unit = "b"] = SIZE.exec(size)!;
  const base = unit.length === 3 ? 1024 : 1000;
  return Math.floor(Number(count) * base ** POWERS.indexOf(unit[0]!.toLowerCase()));
}
