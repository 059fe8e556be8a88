// Patterns for keys, as a shell has them. Pure.

import { InvalidArgumentError, show } from "./errors.js";

/** What keys may be chosen by. */
export type Match = string | RegExp;

/** Throws InvalidArgumentError for what is neither. */
export function matcherOf(match: unknown): (key: string) => boolean {
  if (typeof match === "string") {
    const pattern = parse(match);
    return (key) => matches(pattern, key);
  }
  if (match instanceof RegExp) {
    // A RegExp of its own, whose place nobody else moves.
    const own = new RegExp(match.source, match.flags);
    return (key) => {
      // With the flags g or y it would go on where it has stopped the time before.
      own.lastIndex = 0;
      return own.test(key);
    };
  }
  throw new InvalidArgumentError(`match must be a pattern such as "user:*" or a RegExp, got ${show(match)}`);
}

const ANY_TEXT = Symbol("*");
const ANY_CHARACTER = Symbol("?");
type Pattern = (string | symbol)[];

function parse(text: string): Pattern {
  const pattern: Pattern = [];
  const characters = Array.from(text);
  for (let i = 0; i < characters.length; i++) {
    const each = characters[i]!;
    if (each === "*") pattern.push(ANY_TEXT);
    else if (each === "?") pattern.push(ANY_CHARACTER);
    else pattern.push(each === "\\" ? (characters[++i] ?? each) : each);
  }
  return pattern;
}

/** Goes back to the last `*` only, so that no pattern takes longer than its length times that of the key. */
function matches(pattern: Pattern, text: string): boolean {
  const key = Array.from(text);
  let at = 0;
  let i = 0;
  let star = -1;
  let retry = 0;
  while (i < key.length) {
    const wanted = pattern[at];
    if (wanted === ANY_TEXT) {
      star = at++;
      retry = i;
    } else if (wanted === ANY_CHARACTER || wanted === key[i]) {
      at++;
      i++;
    } else if (star >= 0) {
      at = star + 1;
      i = ++retry;
    } else {
      return false;
    }
  }
  while (pattern[at] === ANY_TEXT) at++;
  return at === pattern.length;
}
