/**
 * Loops in programs: a body's kernels, made once and replayed. A number on the device says which turn it is; before the body
 * runs, the turn's elements are copied out of the stacks, and after it what it gave is copied into theirs, and into the carries.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { type AdapterProfile, perItem } from "../../tensor/kernel.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { sizeOf, type Spec } from "../../tensor/shape.ts";
import type { Step } from "../fuse.ts";
import type { Turns } from "./turns.ts";
import type { LoweredDispatch, LoweredUse, Scratch } from "../lower.ts";
import { bytesOf as memoryBytes, largestPiece, pieceCount } from "../pieces.ts";

/** A copy of one element: of a tensor, or of a stack at the turn's place. */
interface Move {
  readonly from: Tensor | Scratch;
  readonly to: Tensor | Scratch;
  /** What is copied. */
  readonly spec: Spec;
  /** Which side is a stack. */
  readonly stack?: "from" | "to";
}

type LoopStep = Extract<Step, { kind: "loop" }>;

/**
 * Lowers a loop.
 *
 * @param lowerBody lowers the body's steps, given what a tensor of the body stands for outside of it
 */
export function lowerLoop(
  step: LoopStep,
  profile: AdapterProfile,
  lowerBody: (steps: readonly Step[], outside: ReadonlyMap<Tensor, Tensor>) => LoweredDispatch[],
): LoweredDispatch[] {
  const { inputs, loop: { body: { boundary }, turns, carries, stacks, reverse }, node } = step;
  const finals = node.outputs.slice(0, carries);
  const outside = new Map<Tensor, Tensor>(
    boundary.flatMap((t, i): [Tensor, Tensor][] =>
      i < carries ? [[t, finals[i]]] : i < carries + stacks ? [] : [[t, inputs[i]]]
    ),
  );
  const standsFor = (t: Tensor): Tensor => outside.get(t) ?? t;
  const body = lowerBody(step.body.steps, outside);
  const results = step.body.results.map(standsFor);
  const read = new Set([...body.flatMap((d) => d.buffers.map((b) => b.memory)), ...results]);
  const elements = boundary.slice(carries, carries + stacks).flatMap((t, i): Move[] =>
    read.has(t) ? [{ from: inputs[carries + i], to: t, spec: t.spec, stack: "from" }] : []
  );
  const before = step.before.map(({ carry, output }): Move => ({
    from: finals[carry],
    to: output,
    spec: finals[carry].spec,
    stack: "to",
  }));
  const given = step.given.map(({ result, output }): Move => ({
    from: results[result],
    to: output,
    spec: elementOf(output.spec),
    stack: "to",
  }));
  // A carry that becomes another one is put aside first: that one changes, too.
  const aside: Move[] = [];
  const next = finals.flatMap((to, i): Move[] => {
    const from = results[i];
    if (from === to) return [];
    if (!finals.includes(from)) return [{ from, to, spec: to.spec }];
    const scratch: Scratch = { bytes: bytesOf(to.spec) };
    aside.push({ from, to: scratch, spec: to.spec });
    return [{ from: scratch, to, spec: to.spec }];
  });
  const most = Math.min(profile.maxStorageBuffers, 12);
  const buffersOf = (m: Tensor | Scratch) => pieceCount(memoryBytes(m), largestPiece(profile));
  const moves = { turns, reverse, step, most, buffersOf };
  const counters: [Scratch, Scratch] = [{ bytes: 4 }, { bytes: 4 }];
  const start = copies(finals.map((to, i) => ({ from: inputs[i], to, spec: to.spec })), moves, {
    label: "loop (start)",
    write: counters[0],
    value: "0u",
  });
  const head = copies([...before, ...elements], moves, {
    label: "loop (turn)",
    read: counters[0],
    write: counters[1],
    value: "turn + 1u",
  });
  // What goes into stacks is at the turn's place, which the second number has already left. A carry goes there before its next
  // value is written: invocations share words of it.
  const carried = given.filter(({ from }) => finals.some((t) => t === from));
  const others = given.filter((m) => !carried.includes(m));
  const tail = [
    ...copies(aside, moves, { label: "loop (aside)" }),
    ...copies(carried, moves, { label: "loop (carried)", read: counters[1], ahead: true }),
    ...copies([...others, ...next], moves, {
      label: "loop (next)",
      read: counters[1],
      write: counters[0],
      value: "turn",
      ahead: true,
    }),
  ];
  const own: Turns = {
    count: turns,
    keeps: new Set<Tensor | Scratch>([
      ...finals,
      ...[...before, ...given].map((m) => m.to),
      ...counters,
    ]),
  };
  // Layouts of what every turn reads are made before the first.
  const once = body.filter((d) => d.once);
  const within = [...head, ...body.filter((d) => !d.once), ...tail].map((d): LoweredDispatch => ({
    ...d,
    loops: [own, ...d.loops ?? []],
  }));
  return [...start, ...once, ...within].map((d) => ({ ...d, within: step }));
}

const elementOf = ({ shape, dtype }: Spec): Spec => ({ shape: shape.slice(1), dtype });
const bytesOf = ({ shape, dtype }: Spec): number => Math.ceil(sizeOf(shape) * BYTES[dtype] / 4) * 4;

/** The number of the turn, and what becomes of it. */
interface Counting {
  readonly label: string;
  readonly read?: Scratch;
  readonly write?: Scratch;
  /** WGSL of what is written, from `turn`. */
  readonly value?: string;
  /** Whether the number that is read is that of the next turn. */
  readonly ahead?: boolean;
}

/** Dispatches that copy, as many as each binds at once, and count. */
function copies(
  moves: readonly Move[],
  { turns, reverse, step, most, buffersOf }: {
    turns: number;
    reverse: boolean;
    step: Step;
    most: number;
    buffersOf: (m: Tensor | Scratch) => number;
  },
  { label, read, write, value, ahead }: Counting,
): LoweredDispatch[] {
  const groups: Move[][] = [];
  let bound = Infinity;
  for (const move of moves) {
    const own = buffersOf(move.from) + buffersOf(move.to);
    if (bound + own > most - 2) groups.push([]);
    bound = (groups.at(-1)!.length ? bound : 0) + own;
    groups.at(-1)!.push(move);
  }
  if (!groups.length && write) groups.push([]);
  return groups.map((group, g): LoweredDispatch => {
    const counts = g + 1 === groups.length && write !== undefined;
    const stacks = read && (group.some((m) => m.stack) || counts);
    const now = ahead ? "turn - 1u" : "turn";
    const place = reverse ? `${turns - 1}u - (${now})` : now;
    const parts = group.map((m, k) => copyOf(m, k));
    const lines = [
      stacks ? "let turn = count[0];" : "",
      group.some((m) => m.stack) ? `let place = ${place};` : "",
      counts ? `if (i == 0u) { counted[0] = ${value}; }` : "",
      ...parts.map((p) => p.code),
    ];
    const buffers: LoweredUse[] = [
      ...parts.flatMap((p) => p.buffers),
      ...stacks ? [{ name: "count", memory: read!, access: "read" as const, type: "u32" }] : [],
      ...counts ? [{ name: "counted", memory: write!, access: "write" as const, type: "u32" }] : [],
    ];
    const count = Math.max(1, ...parts.map((p) => p.items));
    return {
      label,
      step,
      buffers,
      flops: 0,
      ...perItem({ count, name: "i" }, lines.filter((l) => l).join("\n  ")),
    };
  });
}

/** WGSL that copies one element, by words, or by halves where an element of a stack may begin within a word. */
function copyOf(
  { from, to, spec, stack }: Move,
  k: number,
): { readonly code: string; readonly items: number; readonly buffers: LoweredUse[] } {
  const size = sizeOf(spec.shape);
  const halves = BYTES[spec.dtype] === 2;
  const uses = (type: string): LoweredUse[] => [
    { name: `s${k}`, memory: from, access: "read", type },
    { name: `d${k}`, memory: to, access: "write", type },
  ];
  if (!(halves && size % 2 && stack)) {
    const words = bytesOf(spec) / 4;
    const width = words % 4 === 0 ? 4 : 1;
    const items = words / width;
    const at = (side: "from" | "to") => stack === side ? `place * ${items}u + i` : "i";
    return {
      code: `if (i < ${items}u) { d${k}[${at("to")}] = s${k}[${at("from")}]; }`,
      items,
      buffers: uses(width === 4 ? "vec4<u32>" : "u32"),
    };
  }
  const items = (size + 1) / 2 + 1;
  const half = (h: string) => `((s${k}[(${h}) >> 1u] >> ((${h} & 1u) * 16u)) & 0xffffu)`;
  // A word of the destination takes its two halves from wherever they lie; what is not this element's stays.
  const code = stack === "from"
    ? `if (i < ${(size + 1) / 2}u) {
    let h${k} = place * ${size}u + 2u * i;
    d${k}[i] = ${half(`h${k}`)} | select(0u, ${
      half(`(h${k} + 1u)`)
    } << 16u, 2u * i + 1u < ${size}u);
  }`
    : `if (i < ${items}u) {
    let first${k} = place * ${size}u;
    let w${k} = (first${k} >> 1u) + i;
    var value${k} = 0u; var mask${k} = 0u;
    for (var h = 0u; h < 2u; h++) {
      let at${k} = 2u * w${k} + h - first${k};
      if (at${k} < ${size}u) { value${k} |= ${
      half(`at${k}`)
    } << (h * 16u); mask${k} |= 0xffffu << (h * 16u); }
    }
    if (mask${k} != 0u) { d${k}[w${k}] = (d${k}[w${k}] & ~mask${k}) | value${k}; }
  }`;
  return { code, items, buffers: uses("u32") };
}
