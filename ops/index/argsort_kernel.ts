/**
 * The kernels of a merge sort of rows: runs that are sorted where they lie, then merges of two runs, by bisection; and of the first
 * few of a row, which are kept one by one.
 */
import {
  type Dispatch,
  type KernelContext,
  type KernelPlan,
  perItem,
} from "../../tensor/kernel.ts";
import { sizeOf } from "../../tensor/shape.ts";

/** Attributes of an order. */
export interface ArgsortAttrs {
  readonly descending: boolean;
  /** How many of a row's places are wanted: the first. All where nothing is said. */
  readonly first?: number;
}

/** Elements that are sorted one by one, and of a merged run those that one invocation writes. */
const RUN = 8;
const PIECE = 32;
/** Elements that one invocation goes through for them, at least and at most; more where there are invocations enough. */
const STRETCH = 256;
const LONGEST = 4096;
const ENOUGH = 1024;

/** WGSL of a u32 that is larger where the element is. */
function keyOf(value: string, dtype: string, descending: boolean): string {
  const bits = {
    u32: value,
    i32: `(bitcast<u32>(${value}) ^ 0x80000000u)`,
    f32: `ordered(bitcast<u32>(f32(${value})))`,
    f16: `ordered(bitcast<u32>(f32(${value})))`,
  }[dtype]!;
  return descending ? `~${bits}` : bits;
}

const ORDERED = `fn ordered(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  let key = select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
  return select(key, 0xffffffffu, size > 0x7f800000u);
}
`;

/** The first few of each row, from the smallest key on. */
function fewKernel(
  { inputs: [x], attrs }: KernelContext<ArgsortAttrs>,
  kept: number,
): KernelPlan {
  const n = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / n;
  const fewer = Math.max(1, Math.floor(rows * Math.ceil(n / STRETCH) / ENOUGH));
  const stretch = Math.min(STRETCH * fewer, LONGEST);
  const stretches = Math.ceil(n / stretch);
  const order = { name: "places", ref: { output: 0 }, access: "write", type: "u32" } as const;
  const scratch = (name: string, at: number, access: "read" | "write") =>
    ({ name, ref: { scratch: at }, access, type: "u32" }) as const;
  /** Each of `lists` invocations goes through `of` pairs (key, place) and keeps the first few. */
  const keep = (lists: number, from: string, end: string, key: string, place: string) =>
    perItem(
      {
        count: lists,
        name: "t",
        declarations: x.dtype.startsWith("f") ? ORDERED : "",
      },
      `let to_ = t * ${kept}u;
  var have = 0u;
  var last = 0u;
  let end = ${end};
  for (var i = ${from}; i < end; i++) {
    let key = ${key};
    if (have < ${kept}u || key < last) {
      var at = min(have, ${kept - 1}u);
      for (var s = 0u; s < ${kept}u; s++) {
        if (at == 0u) { break; }
        let before = keys[to_ + at - 1u];
        if (before <= key) { break; }
        keys[to_ + at] = before;
        places[to_ + at] = places[to_ + at - 1u];
        at--;
      }
      keys[to_ + at] = key;
      places[to_ + at] = ${place};
      have = min(have + 1u, ${kept}u);
      if (have == ${kept}u) { last = keys[to_ + ${kept - 1}u]; }
    }
  }`,
    );
  const whole = stretches === 1;
  const first: Dispatch = {
    label: "argsort (few)",
    buffers: [
      { name: "xs", ref: { input: 0 }, access: "read", type: x.dtype },
      scratch("keys", 0, "write"),
      whole ? order : scratch("places", 1, "write"),
    ],
    ...keep(
      rows * stretches,
      `t % ${stretches}u * ${stretch}u`,
      `min(t % ${stretches}u * ${stretch}u + ${stretch}u, ${n}u)`,
      keyOf(`xs[t / ${stretches}u * ${n}u + i]`, x.dtype, attrs.descending),
      "i",
    ),
  };
  const list = rows * stretches * kept * 4;
  if (whole) return { dispatches: [first], scratch: [list] };
  // A last stretch may have fewer than are kept: they lie behind those of the others, so that it is as long as that.
  const tail = Math.min(kept, n - (stretches - 1) * stretch);
  const second: Dispatch = {
    label: "argsort (few of all)",
    buffers: [
      scratch("found", 0, "read"),
      scratch("at_", 1, "read"),
      scratch("keys", 2, "write"),
      order,
    ],
    ...keep(
      rows,
      "0u",
      `${(stretches - 1) * kept + tail}u`,
      `found[t * ${stretches * kept}u + i]`,
      `at_[t * ${stretches * kept}u + i]`,
    ),
  };
  return { dispatches: [first, second], scratch: [list, list, rows * kept * 4] };
}

export function argsortKernel(ctx: KernelContext<ArgsortAttrs>): KernelPlan {
  const { inputs: [x], attrs } = ctx;
  if (attrs.first !== undefined) return fewKernel(ctx, attrs.first);
  const n = x.shape.at(-1)!;
  const count = sizeOf(x.shape);
  const rows = count / n;
  const runs = Math.ceil(n / RUN);
  const passes: number[] = [];
  for (let width = RUN; width < n; width *= 2) passes.push(width);
  // Pairs (key, place) go from one buffer to the other; the last pass writes places alone.
  const pairs = (scratch: number, access: "read" | "write") => ({
    name: access === "read" ? "from_" : "to_",
    ref: { scratch },
    access,
    type: "u32",
  } as const);
  const order = { name: "order", ref: { output: 0 }, access: "write", type: "u32" } as const;
  const xs = { name: "xs", ref: { input: 0 }, access: "read", type: x.dtype } as const;
  const base = `let row = t / ${runs}u * ${n}u;
  let start = t % ${runs}u * ${RUN}u;
  let end = min(start + ${RUN}u, ${n}u);`;
  const first: Dispatch = {
    label: "argsort (runs)",
    buffers: [xs, pairs(0, "write")],
    ...perItem(
      { count: rows * runs, name: "t", declarations: x.dtype.startsWith("f") ? ORDERED : "" },
      `${base}
  for (var i = start; i < end; i++) {
    let key = ${keyOf("xs[row + i]", x.dtype, attrs.descending)};
    var at = i;
    for (var s = 0u; s < ${RUN}u; s++) {
      if (at <= start) { break; }
      let before = to_[(row + at - 1u) * 2u];
      if (before <= key) { break; }
      to_[(row + at) * 2u] = before;
      to_[(row + at) * 2u + 1u] = to_[(row + at - 1u) * 2u + 1u];
      at--;
    }
    to_[(row + at) * 2u] = key;
    to_[(row + at) * 2u + 1u] = i;
  }`,
    ),
  };
  const pieces = Math.ceil(n / PIECE);
  const merge = (width: number, pass: number): Dispatch => {
    const last = pass === passes.length - 1;
    const put = last
      ? "order[row + d] = place;"
      : "to_[(row + d) * 2u] = key; to_[(row + d) * 2u + 1u] = place;";
    return {
      label: "argsort (merge)",
      buffers: [pairs(pass % 2, "read"), last ? order : pairs(1 - pass % 2, "write")],
      ...perItem(
        { count: rows * pieces, name: "t" },
        `let row = t / ${pieces}u * ${n}u;
  var d = t % ${pieces}u * ${PIECE}u;
  let end = min(d + ${PIECE}u, ${n}u);
  var i = 0u; var j = 0u; var left = 0u; var right = 0u; var stop = 0u;
  for (var s = 0u; s < ${PIECE}u; s++) {
    if (d >= end) { break; }
    if (d >= stop) {
      // The pair of runs that this place belongs to, and how many of the left one come before it.
      left = d / ${2 * width}u * ${2 * width}u;
      right = min(left + ${width}u, ${n}u);
      stop = min(left + ${2 * width}u, ${n}u);
      let into = d - left;
      var low = select(0u, into - (stop - right), into > stop - right);
      var high = min(into, right - left);
      for (var b = 0u; b < 32u; b++) {
        if (low >= high) { break; }
        let mid = (low + high) / 2u;
        if (from_[(row + left + mid) * 2u] <= from_[(row + right + into - 1u - mid) * 2u]) { low = mid + 1u; }
        else { high = mid; }
      }
      i = left + low;
      j = right + into - low;
    }
    var take_left = i < right;
    if (take_left && j < stop) { take_left = from_[(row + i) * 2u] <= from_[(row + j) * 2u]; }
    let at = select(j, i, take_left);
    let key = from_[(row + at) * 2u];
    let place = from_[(row + at) * 2u + 1u];
    ${put}
    if (take_left) { i++; } else { j++; }
    d++;
  }
`,
      ),
    };
  };
  const only: Dispatch = {
    label: "argsort (places)",
    buffers: [pairs(0, "read"), order],
    ...perItem({ count, name: "t" }, "order[t] = from_[t * 2u + 1u];"),
  };
  return {
    dispatches: [first, ...passes.length ? passes.map(merge) : [only]],
    scratch: passes.length > 1 ? [count * 8, count * 8] : [count * 8],
  };
}
