/** Files made wrong at random, by a seed: what fuzz tests draw from. */

/** A reproducible source of choices. */
export class Draw {
  /** Where it is; another Draw of this state goes on in the same way. */
  state: number;

  /** Begins. */
  constructor(seed: number) {
    this.state = seed >>> 0 || 1;
  }

  /** A whole number below `n`. */
  below(n: number): number {
    let s = this.state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.state = s >>> 0;
    return this.state % n;
  }

  /** True in a share `p` of the draws. */
  chance(p: number): boolean {
    return this.below(1_000_000) < p * 1_000_000;
  }

  /** One of some things. */
  of<T>(things: readonly T[]): T {
    return things[this.below(things.length)];
  }
}

/** Numbers at which programs break. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** One to four changes: bytes set, cut out, doubled, inserted, cut off; half of them near the beginning or the end. */
export function bytes(from: Uint8Array, draw: Draw): Uint8Array<ArrayBuffer> {
  let held = new Uint8Array(from);
  for (let changes = 1 + draw.below(4); changes > 0 && held.length; changes--) {
    const near = Math.min(held.length, 400);
    const at = draw.of([
      draw.below(held.length),
      draw.below(held.length),
      draw.below(near),
      held.length - 1 - draw.below(near),
    ]);
    const length = Math.min(1 + draw.below(16), held.length - at);
    switch (draw.below(8)) {
      case 0:
      case 1:
        held[at] ^= 1 << draw.below(8);
        break;
      case 2:
        held[at] = draw.below(256);
        break;
      case 3: { // a number of one, two, four or eight bytes
        const value = draw.of(EDGES), width = draw.of([1, 2, 4, 8]);
        for (let i = 0; i < width && at + i < held.length; i++) {
          held[at + i] = i < 4 ? value >>> (8 * i) : value === 0xffffffff ? 0xff : 0;
        }
        break;
      }
      case 4:
        held = joined(held.subarray(0, at), held.subarray(at + length));
        break;
      case 5: {
        const other = draw.below(held.length);
        const piece = held.slice(other, other + length);
        held = joined(held.subarray(0, at), piece, held.subarray(at));
        break;
      }
      case 6: {
        const piece = held.slice(at, at + length);
        held.set(piece, draw.below(held.length - length + 1));
        break;
      }
      case 7:
        if (draw.chance(0.3)) held = held.slice(0, at);
        else held.fill(draw.of([0, 0xff, 0x20]), at, at + length);
    }
  }
  return held;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Words that mean something in a program. */
const WORDS = [
  "0u",
  "1u",
  "4294967295u",
  "65536u",
  "-1",
  "1.0",
  "vec4<f32>",
  "u32",
  "f32",
  "if",
  "{",
  "}",
  "(",
  ")",
  ";",
  "loop",
  "return;",
  "break;",
  "continue;",
  "+",
  "-",
  "*",
  "/",
  "%",
  "<<",
  ">>",
  "<",
  ">=",
  "==",
  "&&",
  "|",
  "=",
  "var",
  "let",
  "workgroupBarrier();",
  "exp",
  "select",
];

/** Kinds of word; one of a kind in place of another often leaves a program. */
const KINDS = [/^\d+u$/, /^\d+\.\d+$/, /^[-+*/%]$/, /^[<>]$/, /^(?:[a-z]\w*|\w+_\w*)$/];

/** One to three changes to a text of words: mostly a word by another of its kind, else something left out, doubled, odd. */
export function words(text: string, draw: Draw): string {
  const held = text.match(/\w+(?:\.\d+)?|\s+|[^\w\s]/g) ?? [];
  for (let changes = 1 + (draw.chance(0.3) ? draw.below(3) : 0); changes > 0; changes--) {
    const kind = draw.of(KINDS);
    const alike = held.flatMap((w, i) => kind.test(w) ? [i] : []);
    if (draw.chance(0.8) && alike.length) {
      const at = draw.of(alike);
      const number = kind === KINDS[0] && draw.chance(0.5);
      held[at] = number
        ? `${draw.of([0, 1, parseInt(held[at]) + 1, parseInt(held[at]) * 1000, 0x7fffffff]) >>> 0}u`
        : held[draw.of(alike)];
      continue;
    }
    const at = draw.below(held.length);
    switch (draw.below(4)) {
      case 0:
        held.splice(at, 1 + draw.below(3));
        break;
      case 1:
        held.splice(at, 0, ...held.slice(at, at + 1 + draw.below(12)));
        break;
      case 2:
        held[at] = draw.of(WORDS);
        break;
      case 3:
        held.splice(at, 0, " ", draw.of(WORDS), " ");
    }
  }
  return held.join("");
}

/** Values of JSON that are seldom thought of. */
const ODD: readonly unknown[] = [
  null,
  true,
  "",
  "__proto__",
  "../../etc/passwd",
  "F32",
  "\u0000",
  [],
  {},
  [[]],
  0,
  -1,
  0.5,
  1e9,
  2 ** 31,
  2 ** 53,
  1e308,
];

/** A copy of a parsed JSON value with one to three of its values replaced, removed, doubled, or renamed. */
export function json(value: unknown, draw: Draw): unknown {
  let held = structuredClone(value);
  for (let changes = 1 + draw.below(3); changes > 0; changes--) held = changed(held, draw, 0);
  return held;
}

function changed(value: unknown, draw: Draw, depth: number): unknown {
  const inner = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (!inner.length || depth > 0 && draw.chance(0.2)) {
    if (typeof value === "number" && draw.chance(0.5)) return value * draw.of([-1, 0, 2, 1e3, 1e6]);
    return structuredClone(draw.of(ODD));
  }
  const key = draw.of(inner);
  const entries = Object.entries(value as object);
  const at = entries.findIndex(([name]) => name === key);
  const kind = draw.below(8);
  if (kind === 0) entries.splice(at, 1);
  else if (kind === 1) {
    entries.push([draw.of(["__proto__", "constructor", "x", ""]), entries[at][1]]);
  } else entries[at] = [key, changed(entries[at][1], draw, depth + 1)];
  if (Array.isArray(value)) return entries.map(([, item]) => item);
  const object: Record<string, unknown> = Object.create(null);
  for (const [name, item] of entries) object[name] = item;
  return object;
}
