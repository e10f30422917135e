/** What draws on a device: the generator in WGSL, the machine that writes a distribution as WGSL, and the kernel of both. */
import { f32 } from "../../tensor/f32.ts";
import { type KernelContext, type KernelPlan, perItem } from "../../tensor/kernel.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import type { Cut } from "./distributions.ts";
import type { Machine } from "./strict.ts";
import { FOLD, PARITY, ROTATIONS } from "./threefry.ts";

/** Keys `[…, 2]` each draw `shape`. */
export interface DrawAttrs {
  readonly shape: Shape;
  readonly stream: number;
  /** Where a distribution is cut. */
  readonly cut?: Cut;
}

/** What random words become: one element each, or a pair of words a pair of elements. */
export interface Distribution {
  readonly dtype: "f32" | "u32";
  readonly one?: <V>(m: Machine<V>, w: V, attrs: DrawAttrs) => V;
  readonly pair?: <V>(m: Machine<V>, a: V, b: V) => readonly [V, V];
}

/** The same in WGSL, unrolled: `threefry(k0, k1, c0, c1)`. */
export function threefryWgsl(): string {
  const rounds = Array.from({ length: 5 }, (_, group) => {
    const turns = ROTATIONS[group % 2].map((r) =>
      `x0 += x1; x1 = ((x1 << ${r}u) | (x1 >> ${32 - r}u)) ^ x0;`
    );
    const inject = `x0 += k${(group + 1) % 3}; x1 += k${(group + 2) % 3} + ${group + 1}u;`;
    return `${turns.join(" ")} ${inject}`;
  });
  return `fn threefry(k0: u32, k1: u32, c0: u32, c1: u32) -> vec2<u32> {
  let k2 = k0 ^ k1 ^ ${PARITY}u;
  var x0 = c0 + k0; var x1 = c1 + k1;
  ${rounds.join("\n  ")}
  return vec2<u32>(x0, x1);
}`;
}

/** Writes WGSL for vectors of `width`: a line for each value, which then goes by a name. */
export class WgslMachine implements Machine<string> {
  /** What has been written. */
  readonly lines: string[] = [];
  /** WGSL types of the values. */
  readonly float: string;
  readonly unsigned: string;

  constructor(readonly width: 2 | 4, readonly prefix = "s") {
    this.float = `vec${width}<f32>`;
    this.unsigned = `vec${width}<u32>`;
  }

  /** A value by a name. */
  readonly named = (value: string): string => {
    const name = `${this.prefix}${this.lines.length}`;
    this.lines.push(`let ${name} = ${value};`);
    return name;
  };
  number = (x: number): string => `${this.float}(${f32(x)})`;
  word = (x: number): string => `${this.unsigned}(${x >>> 0}u)`;
  /** No number has all bits set: the minimum changes nothing, which no compiler can know. */
  readonly rounded = (value: string): string =>
    this.fromBits(`min(${this.bits(value)}, ${this.word(0xfffffffe)})`);
  add = (a: string, b: string): string => this.rounded(`${a} + ${b}`);
  sub = (a: string, b: string): string => this.rounded(`${a} - ${b}`);
  mul = (a: string, b: string): string => this.rounded(`${a} * ${b}`);
  less = (a: string, b: string): string => this.named(`${a} < ${b}`);
  plus = (a: string, b: string): string => this.named(`${a} + ${b}`);
  minus = (a: string, b: string): string => this.named(`${a} - ${b}`);
  and = (a: string, b: number): string => this.named(`${a} & ${this.word(b)}`);
  xor = (a: string, b: string): string => this.named(`${a} ^ ${b}`);
  left = (a: string, by: number): string => this.named(`${a} << ${this.word(by)}`);
  right = (a: string, by: number): string => this.named(`${a} >> ${this.word(by)}`);
  is = (a: string, b: number): string => this.named(`${a} == ${this.word(b)}`);
  real = (a: string): string => this.named(`${this.float}(${a})`);
  bits = (a: string): string => `bitcast<${this.unsigned}>(${a})`;
  fromBits = (a: string): string => this.named(`bitcast<${this.float}>(${a})`);
  pick = (condition: string, yes: string, no: string): string =>
    this.named(`select(${no}, ${yes}, ${condition})`);
}

/** WGSL that makes four elements, `four`, of the words of two blocks. */
function elements({ dtype, one, pair }: Distribution, attrs: DrawAttrs): string {
  const m = new WgslMachine(one ? 4 : 2);
  if (one) {
    const y = one(m, m.named("vec4<u32>(low, high)"), attrs);
    return `${m.lines.join("\n  ")}\n  let four = vec4<${dtype}>(${y});`;
  }
  const a = m.named("vec2<u32>(low.x, high.x)"), b = m.named("vec2<u32>(low.y, high.y)");
  const [x, y] = pair!(m, a, b);
  return `${m.lines.join("\n  ")}
  let four = vec4<${dtype}>(${x}.x, ${y}.x, ${x}.y, ${y}.y);`;
}

/** Draws of every key, four elements an invocation. */
export function drawKernel(
  name: string,
  distribution: Distribution,
  ctx: KernelContext<DrawAttrs>,
): KernelPlan {
  const { attrs, epilogue, inputs: [{ shape: keys }] } = ctx;
  const count = sizeOf(attrs.shape);
  const quads = Math.ceil(count / 4);
  const several = keys.length > 1;
  // Each key's draws begin with a quad of their own.
  const [of, quad] = several ? [`t / ${quads}u`, `t % ${quads}u`] : ["0u", "t"];
  const at = `which * ${count}u + quad * 4u`;
  const stores = epilogue.width === 4
    ? epilogue.store(at, "four")
    : [0, 1, 2, 3].map((k) =>
      `if (quad * 4u + ${k}u < ${count}u) { ${epilogue.store(`${at} + ${k}u`, `four[${k}]`)} }`
    ).join("\n  ");
  const draw = (pair: string) =>
    `threefry(key[which * 2u], key[which * 2u + 1u], ${pair}, ${attrs.stream}u)`;
  const work = `let which = ${of};
  let quad = ${quad};
  let low = ${draw("quad * 2u")};
  let high = ${draw("quad * 2u + 1u")};
  ${elements(distribution, attrs)}
  ${stores}`;
  const key = { name: "key", ref: { input: 0 }, access: "read", type: "u32" } as const;
  const kernel = perItem({
    count: quads * sizeOf(keys) / 2,
    name: "t",
    declarations: `${threefryWgsl()}\n`,
  }, work);
  return { dispatches: [{ label: name, buffers: [key, ...epilogue.buffers], ...kernel }] };
}

/** What whole numbers are drawn of. */
export interface IntAttrs {
  readonly shape: Shape;
  readonly stream: number;
  readonly min: number;
  /** How many numbers there are, 1 to 2³². */
  readonly span: number;
  readonly dtype: "i32" | "u32";
}

/** The high word of a product of words. */
const HIGH = `fn high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}
`;

/** The high word of (a, b)·span / 2³²; all of a where the span is 2³². */
const SHARE = (span: number): string =>
  span === 2 ** 32 ? "let y = w.x;" : `let low = w.x * ${span}u;
  let carried = high(w.y, ${span}u);
  let y = high(w.x, ${span}u) + select(0u, 1u, low + carried < low);`;

/** Whole numbers of every key, one an invocation. */
export function intKernel(
  { inputs: [key], attrs: { shape, stream, min, span, dtype } }: KernelContext<IntAttrs>,
): KernelPlan {
  const count = sizeOf(shape);
  return {
    dispatches: [{
      label: "randomInt",
      buffers: [
        { name: "key", ref: { input: 0 }, access: "read", type: "u32" },
        { name: "drawn", ref: { output: 0 }, access: "write", type: dtype },
      ],
      ...perItem(
        {
          count: count * sizeOf(key.shape) / 2,
          name: "i",
          declarations: `${threefryWgsl()}\n${HIGH}`,
        },
        `let k = i / ${count}u * 2u;
  let w = threefry(key[k], key[k + 1u], i % ${count}u, ${stream}u);
  ${SHARE(span)}
  drawn[i] = bitcast<${dtype}>(y + ${min >>> 0}u);`,
      ),
    }],
  };
}

/** A key of each key and number. */
export const foldInKernel = ({ outputs: [{ shape }] }: KernelContext<unknown>): KernelPlan => ({
  dispatches: [{
    label: "foldIn",
    buffers: [
      { name: "key", ref: { input: 0 }, access: "read", type: "u32" },
      { name: "data", ref: { input: 1 }, access: "read", type: "u32" },
      { name: "made", ref: { output: 0 }, access: "write", type: "u32" },
    ],
    ...perItem(
      { count: sizeOf(shape) / 2, name: "i", declarations: `${threefryWgsl()}\n` },
      `let k = threefry(key[2u * i], key[2u * i + 1u], data[i], ${FOLD}u);
  made[2u * i] = k.x;
  made[2u * i + 1u] = k.y;`,
    ),
  }],
});
