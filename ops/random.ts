/**
 * Random numbers by counter: element `i` of draw `stream` under a key is a pure function of the three (Threefry-2x32
 * with 20 rounds; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Keys are data, uploaded at each
 * step, so a compiled program draws new numbers without being compiled anew, and a draw can be repeated anywhere:
 * `hostNormal` gives on the host what `randomNormal` gives on the device.
 */
import { cosineOf, sineOf } from "./elementwise/trigonometry.ts";
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectList, expectNumber, expectOptions, expectTensors } from "../tensor/arguments.ts";
import { expectShape } from "../tensor/host.ts";
import { type Shape, ShapeError, show, sizeOf } from "../tensor/shape.ts";
import { type KernelContext, type KernelPlan, perItem } from "../tensor/kernel.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp, type Op } from "../tensor/op.ts";

/** 64 bits of key, as two u32. On the device: a tensor `[2]` u32. */
export type Key = readonly [number, number];

/** Options of the drawing functions. */
export interface DrawOptions {
  /** Number of the draw under its key, below 2³² − 1; different streams are independent. Default 0. */
  readonly stream?: number;
}

const ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]];
const PARITY = 0x1bd11bda;
/** Counter word reserved for deriving keys, so that no draw repeats their bits. */
const FOLD = 0xffffffff;

/** Threefry-2x32-20: 64 random bits for a 64-bit counter under a key. All words are u32. */
export function threefry([k0, k1]: Key, [c0, c1]: readonly [number, number]): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ PARITY];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    for (const r of ROTATIONS[group % 2]) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + keys[(group + 1) % 3]) | 0;
    x1 = (x1 + keys[(group + 2) % 3] + group + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}

/** The same in WGSL, unrolled. */
function threefryWgsl(): string {
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

/** What two random words become: two elements. */
interface Distribution {
  readonly dtype: "f32" | "u32";
  readonly host: (a: number, b: number) => readonly [number, number];
  /** WGSL from `w: vec2<u32>` to a vector of two elements. */
  readonly device: string;
}

const TWO_PI = 2 * Math.PI;
const DISTRIBUTIONS = {
  randomBits: { dtype: "u32", host: (a, b) => [a, b], device: "return w;" },
  // 24 bits, so that the largest value is still below 1 in f32.
  randomUniform: {
    dtype: "f32",
    host: (a, b) => [(a >>> 8) * 2 ** -24, (b >>> 8) * 2 ** -24],
    device: `return vec2<f32>(w >> vec2<u32>(8u)) * ${2 ** -24};`,
  },
  // Box–Muller. The radius takes (bits + ½)·2⁻³², never 0; the angle runs from −π to π.
  randomNormal: {
    dtype: "f32",
    host: (a, b) => {
      const radius = Math.sqrt(-2 * Math.log((a + 0.5) * 2 ** -32));
      const angle = (b >>> 8) * (TWO_PI * 2 ** -24) - Math.PI;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    },
    device: `let u = (f32(w.x) + 0.5) * ${2 ** -32};
  let radius = sqrt(max(-2.0 * log(u), 0.0));
  let angle = f32(w.y >> 8u) * ${TWO_PI * 2 ** -24} - ${Math.PI};
  return radius * vec2<f32>(${cosineOf("angle")}, ${sineOf("angle")});`,
  },
} as const satisfies Record<string, Distribution>;

/** Keys `[…, 2]` each draw `shape`. */
interface DrawAttrs {
  readonly shape: Shape;
  readonly stream: number;
}

/** Under one key, element pairs (2p, 2p + 1) come from counter (p, stream). */
function drawOnHost(
  { host }: Distribution,
  key: Key,
  count: number,
  stream: number,
): Float64Array {
  const y = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry(key, [i / 2, stream]);
    const pair = host(a, b);
    y[i] = pair[0];
    if (i + 1 < count) y[i + 1] = pair[1];
  }
  return y;
}

function drawKernel(
  name: string,
  { dtype, device }: Distribution,
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
  const declarations = `${threefryWgsl()}
fn draw(w: vec2<u32>) -> vec2<${dtype}> {
  ${device}
}
`;
  const draw = (pair: string) =>
    `draw(threefry(key[which * 2u], key[which * 2u + 1u], ${pair}, ${attrs.stream}u))`;
  const work = `let which = ${of};
  let quad = ${quad};
  let low = ${draw("quad * 2u")};
  let high = ${draw("quad * 2u + 1u")};
  let four = vec4<${dtype}>(low, high);
  ${stores}`;
  const key = { name: "key", ref: { input: 0 }, access: "read", type: "u32" } as const;
  const kernel = perItem({ count: quads * sizeOf(keys) / 2, name: "t", declarations }, work);
  return { dispatches: [{ label: name, buffers: [key, ...epilogue.buffers], ...kernel }] };
}

function defineDraw(name: keyof typeof DISTRIBUTIONS) {
  const distribution: Distribution = DISTRIBUTIONS[name];
  return defineOp<DrawAttrs>({
    name,
    shape([key], { shape, stream }) {
      if (key.dtype !== "u32" || key.shape.at(-1) !== 2) {
        throw new ShapeError(name, `the key must be u32[2], not ${show(key)}`);
      }
      if (!Number.isInteger(stream) || stream < 0 || stream >= FOLD) {
        throw new ShapeError(name, `stream ${stream} is not a whole number below 2^32 - 1`);
      }
      return [{ shape: [...key.shape.slice(0, -1), ...shape], dtype: distribution.dtype }];
    },
    vjp: () => [undefined],
    batch: alike,
    reference([keys], _specs, { shape, stream }, [out]) {
      const y = new Float64Array(sizeOf(out.shape));
      const count = sizeOf(shape);
      for (let i = 0; i < keys.length / 2; i++) {
        const key: Key = [keys[2 * i], keys[2 * i + 1]];
        y.set(drawOnHost(distribution, key, count, stream), i * count);
      }
      return [y];
    },
    lowering: {
      kind: "kernel",
      epilogue: true,
      build: (ctx) => drawKernel(name, distribution, ctx),
    },
  });
}

const bitsOp = defineDraw("randomBits");
const uniformOp = defineDraw("randomUniform");
const normalOp = defineDraw("randomNormal");

function draw(op: Op<DrawAttrs>, key: Tensor, shape: Shape, options: DrawOptions): Tensor {
  expectTensors(op.name, { key });
  expectShape(op.name, 1, shape);
  expectOptions(op.name, 2, options, { stream: "number" });
  if (key.shape.length !== 1) {
    throw new ShapeError(op.name, `the key must be u32[2], not ${show(key.spec)}; vmap takes many`);
  }
  return apply(op, [key], { shape, stream: options.stream ?? 0 })[0];
}

/** Random u32, all bits uniform. `key`: `[2]` u32. */
export const randomBits = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(bitsOp, key, shape, options);

/** Uniform f32 in [0, 1), multiples of 2⁻²⁴. `key`: `[2]` u32. */
export const randomUniform = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(uniformOp, key, shape, options);

/** Normal f32 of mean 0 and variance 1, at most 6.8 in magnitude. `key`: `[2]` u32. */
export const randomNormal = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(normalOp, key, shape, options);

/** What {@linkcode randomUniform} draws, computed on the host. */
export const hostUniform = (
  key: Key,
  count: number,
  { stream = 0 }: DrawOptions = {},
): Float64Array => drawOnHost(DISTRIBUTIONS.randomUniform, key, count, stream);

/** What {@linkcode randomNormal} draws, computed on the host in float64. */
export const hostNormal = (
  key: Key,
  count: number,
  { stream = 0 }: DrawOptions = {},
): Float64Array => drawOnHost(DISTRIBUTIONS.randomNormal, key, count, stream);

/**
 * A new key from a key and a number: one key per step, per image, per worker.
 *
 * @param data a u32
 * @throws RangeError when `data` is not a u32
 */
export function foldIn(key: Key, data: number): [number, number] {
  expectList("foldIn", 0, "key", key, "[0, 1]");
  expectNumber("foldIn", 1, "data", data);
  if (key.length !== 2 || key.some((word) => word !== word >>> 0)) {
    throw new RangeError(`foldIn: the key is [${key}], not two u32`);
  }
  if (data !== data >>> 0) throw new RangeError(`foldIn takes a u32, not ${data}`);
  return threefry(key, [data, FOLD]);
}

/**
 * The key of a seed.
 *
 * @param seed a whole number from 0 to 2⁵³ − 1
 * @throws RangeError for any other number
 */
export function keyFromSeed(seed: number): [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`a seed is a whole number from 0 to 2^53 - 1, not ${seed}`);
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}
