/**
 * The gated unit of transformers' feed-forward layers, h·gelu(gate), and its gradient: kernels of their own, each of which
 * reads both halves of a row in one pass. As a composition the gradient would take what each half needs for both.
 */
import { expectFloats } from "../../tensor/arguments.ts";
import { apply, type Node, type Tensor } from "../../tensor/tensor.ts";
import { ShapeError, sizeOf, type Spec } from "../../tensor/shape.ts";
import { alike } from "../../tensor/batch.ts";
import { defineOp, type Wgsl } from "../../tensor/op.ts";
import { type KernelContext, type KernelPlan, perItem, storageType } from "../../tensor/kernel.ts";
import { reverse } from "../../tensor/reverse.ts";
import { concat } from "../concat.ts";
import { variable } from "../gradient.ts";
import { slice } from "../movement.ts";
import { geluPair } from "./activation.ts";
import { add, mul } from "./arithmetic.ts";

/** Extents of a result of `x`, whose last axis holds two halves. */
function halved(op: string, x: Spec): number[] {
  const width = x.shape.at(-1) ?? 1;
  if (width % 2) throw new ShapeError(op, `the last axis of [${x.shape}] has no halves`);
  return [...x.shape.slice(0, -1), width / 2];
}

/** Where in `x` the two halves' elements for place `i` of the result lie. */
const places = (i: number, d: number): [h: number, gate: number] => {
  const at = Math.floor(i / d) * 2 * d + i % d;
  return [at, at + d];
};

const gegluOp = defineOp<undefined>({
  name: "geglu",
  shape: ([x]) => [{ shape: halved("geglu", x), dtype: x.dtype }],
  vjp: ([g], { inputs: [x] }) => g ? [apply(gradOp, [g, x], undefined)[0]] : [],
  batch: alike,
  reference([x], [s]) {
    const d = s.shape.at(-1)! / 2;
    return [
      Float64Array.from({ length: x.length / 2 }, (_, i) => {
        const [h, gate] = places(i, d);
        return x[h] * geluPair.rules.reference(x[gate]);
      }),
    ];
  },
  lowering: { kind: "kernel", epilogue: true, build: forward },
});

const gradOp = defineOp<undefined>({
  name: "gegluGrad",
  shape([g, x]) {
    const expected = halved("gegluGrad", x);
    if (g.shape.join() !== expected.join()) {
      throw new ShapeError("gegluGrad", `the cotangent is [${g.shape}], not [${expected}]`);
    }
    return [x];
  },
  vjp: secondVjp,
  batch: alike,
  reference([g, x], [, s]) {
    const d = s.shape.at(-1)! / 2;
    const dx = new Float64Array(x.length);
    g.forEach((u, i) => {
      const [h, gate] = places(i, d);
      dx[h] = u * geluPair.rules.reference(x[gate]);
      dx[gate] = u * x[h] * geluPair.rules.slopeReference(x[gate]);
    });
    return [dx];
  },
  lowering: { kind: "kernel", epilogue: false, build: backward },
});

/** The gradient's own derivative, from the same written with ops. */
function secondVjp(
  [u]: readonly (Tensor | undefined)[],
  { inputs }: Node<undefined>,
  wanted: readonly boolean[],
): (Tensor | undefined)[] {
  if (!u) return [];
  const own = inputs.map(variable);
  const [g, x] = own;
  const axis = x.shape.length - 1;
  const d = x.shape[axis] / 2;
  const [h, gate] = [slice(x, axis, 0, d), slice(x, axis, d, 2 * d)];
  const made = concat(
    [mul(g, geluPair.value(gate)), mul(mul(g, h), geluPair.slope(gate))],
    axis,
  );
  const found = reverse([[made, u]], own.filter((_, i) => wanted[i]), add);
  return wanted.map((w) => w ? found.shift() : undefined);
}

/** A writer of WGSL whose lines are collected; what was said before is not said again. */
function writer(width: 1 | 4): { readonly w: Wgsl; readonly lines: string[] } {
  const known = new Map<string, string>();
  const lines: string[] = [];
  const w: Wgsl = {
    type: (t) => storageType(t, width),
    out: "f32",
    literal: () => undefined,
    number: (v) => `${storageType("f32", width)}(${v})`,
    let(value) {
      let name = known.get(value);
      if (!name) {
        name = `t${lines.length}`;
        known.set(value, name);
        lines.push(`let ${name} = ${value};`);
      }
      return name;
    },
  };
  return { w, lines };
}

/** Indices of the two halves' elements for step `i`, `steps` of which make a row of the result. */
const halves = (steps: number): string => `let at = i / ${steps}u * ${2 * steps}u + i % ${steps}u;`;

function forward(
  { inputs: [x], outputs: [y], epilogue }: KernelContext<undefined>,
): KernelPlan {
  const { width } = epilogue;
  const steps = y.shape.at(-1)! / width;
  const { w, lines } = writer(width);
  const h = w.let(`${w.type("f32")}(xs[at])`);
  const gate = w.let(`${w.type("f32")}(xs[at + ${steps}u])`);
  const value = `${h} * ${geluPair.rules.value(gate, w)}`;
  const work = `${halves(steps)}
  ${lines.join("\n  ")}
  ${epilogue.store(`i * ${width}u`, value)}`;
  const xs = { name: "xs", ref: { input: 0 }, access: "read" } as const;
  const buffers = [{ ...xs, type: storageType(x.dtype, width) }, ...epilogue.buffers];
  const item = perItem({ count: sizeOf(y.shape) / width, name: "i" }, work);
  return { dispatches: [{ label: "geglu", buffers, ...item }] };
}

function backward({ inputs: [g, x] }: KernelContext<undefined>): KernelPlan {
  const width = g.shape.at(-1)! % 4 === 0 ? 4 : 1;
  const steps = g.shape.at(-1)! / width;
  const { w, lines } = writer(width);
  const u = w.let(`${w.type("f32")}(gs[i])`);
  const h = w.let(`${w.type("f32")}(xs[at])`);
  const gate = w.let(`${w.type("f32")}(xs[at + ${steps}u])`);
  const value = geluPair.rules.value(gate, w);
  const slope = geluPair.rules.slope(gate, w);
  const stored = (v: string) => `${storageType(x.dtype, width)}(${v})`;
  const work = `${halves(steps)}
  ${lines.join("\n  ")}
  dx[at] = ${stored(`${u} * ${value}`)};
  dx[at + ${steps}u] = ${stored(`${u} * (${h} * ${slope})`)};`;
  const buffers = [
    { name: "gs", ref: { input: 0 }, access: "read", type: storageType(g.dtype, width) },
    { name: "xs", ref: { input: 1 }, access: "read", type: storageType(x.dtype, width) },
    { name: "dx", ref: { output: 0 }, access: "write", type: storageType(x.dtype, width) },
  ] as const;
  const item = perItem({ count: sizeOf(g.shape) / width, name: "i" }, work);
  return { dispatches: [{ label: "gegluGrad", buffers, ...item }] };
}

/**
 * The gated unit of transformer feed-forward layers: the last axis holds `h` and then `gate`; gives h·gelu(gate).
 *
 * @param x `[..., 2d]`
 * @returns `[..., d]`
 * @throws ShapeError when the last extent is odd
 */
export function geglu(x: Tensor): Tensor {
  expectFloats("geglu", { x });
  return apply(gegluOp, [x], undefined)[0];
}
