// Forward mode of every op: against reverse mode, against differences in float64, and through every other transformation.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import { grad, hessian, hvp, jacobian, jvp, type Tensor, tensor, vjp, vmap } from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { registered } from "../tensor/op.ts";
import { isFloat } from "../tensor/dtype.ts";
import { tapeOf } from "../tensor/tensor.ts";
import { ShapeError, type Spec } from "../tensor/shape.ts";
import {
  applications,
  asFunction,
  type Case,
  FUNCTIONS,
  lossOf,
  values,
} from "./support/applications.ts";
import { testDevice, uniform } from "./support/check.ts";

const driven = new Set<string>();
for (const op of registered()) {
  const { jvp: rule, vjp } = op;
  if (rule) {
    op.jvp = (...given) => {
      driven.add(op.name);
      return rule.apply(op, given);
    };
    continue;
  }
  op.vjp = (...given) => {
    driven.add(op.name);
    return vjp.apply(op, given);
  };
}

/** Numbers that a seed decides, none at a kink. */
function drawn(specs: readonly Spec[], seed: number, low = -1): Tensor[] {
  const draw = uniform(seed);
  return specs.map((s) => {
    if (!isFloat(s.dtype)) return values(s, seed % 7);
    const x = Array.from({ length: s.shape.reduce((a, b) => a * b, 1) }, () => draw());
    return tensor(x.map((v) => low + (1 - low) * (v + 1) / 2), s.shape, s.dtype);
  });
}

const inner = (a: readonly Tensor[], b: readonly (Tensor | undefined)[]): number =>
  a.reduce((sum, t, k) => {
    const other = b[k];
    if (!other || !isFloat(t.dtype)) return sum;
    const [x, y] = interpret([t, other]);
    return sum + x.reduce((n, v, i) => n + v * y[i], 0);
  }, 0);

const close = (a: number, b: number, most: number): boolean =>
  Math.abs(a - b) <= most * Math.max(1, Math.abs(a), Math.abs(b));

const seeds = fc.integer({ min: 1, max: 2 ** 31 - 1 });

const isProduct = (attrs: unknown): boolean => (attrs as { mode?: string }).mode === "mul";

/** A case as a function of its floats alone, with the others fixed. */
function ofFloats({ f, specs }: Case, seed: number) {
  const all = drawn(specs, seed);
  const at = specs.flatMap((s, i) => isFloat(s.dtype) ? [i] : []);
  return {
    specs: at.map((i) => specs[i]),
    f: (...xs: Tensor[]) => f(at.reduce((given, i, k) => given.with(i, xs[k]), all)),
  };
}

Deno.test("⟨v, Ju⟩ = ⟨Jᵀv, u⟩ for every op, whichever inputs have a tangent", () => {
  for (const node of applications()) {
    const f = asFunction(node);
    const specs = node.inputs.map((t) => t.spec);
    const floats = specs.flatMap((s, i) => isFloat(s.dtype) ? [i] : []);
    if (!floats.length) continue;
    // Where the function is defined.
    const low = /^(log|sqrt|rsqrt|pow|power|log2|log10)$/.test(node.op.name)
      ? 0.1
      : node.op.name === "acosh"
      ? 1.5
      : -0.9;
    fc.assert(
      fc.property(seeds, fc.nat(), (seed, mask) => {
        const xs = drawn(specs, seed, low);
        const moved = floats.filter((_, k) => ((mask % (2 ** floats.length - 1)) + 1) >> k & 1);
        const us = drawn(specs, seed + 1).filter((_, i) => moved.includes(i));
        const along = (...some: Tensor[]) =>
          f(...moved.reduce((all, i, k) => all.with(i, some[k]), xs));
        const go = () => jvp(along, moved.map((i) => xs[i]), us);
        if (node.op.name === "scatter" && isProduct(node.attrs) && moved.includes(2)) {
          assertThrows(go, ShapeError, "products have no derivative");
          return;
        }
        const { value, tangent } = go();
        value.forEach((t, k) => assertEquals(tangent[k].spec, t.spec));
        const own = moved.map((i) => m.mul(xs[i], 1));
        const ys = along(...own);
        const vs = drawn(ys.map((y) => y.spec), seed + 2);
        const pairs = ys.flatMap((y, k) => isFloat(y.dtype) ? [[y, vs[k]] as const] : []);
        const [a, b] = [inner(vs, tangent), inner(us, vjp(pairs, own))];
        assert(
          close(a, b, 1e-8),
          `${node.op.name} ${specs.map((s) => s.shape)}: ${a} forward, ${b} in reverse`,
        );
      }),
      { numRuns: 5 },
    );
  }
});

Deno.test("it is the slope of the function in float64", () => {
  // These differ from the slope on purpose: they hold a derivative back.
  const held = (t: Tensor) =>
    tapeOf([t]).some(({ op }) => /^(cutGradient|stopGradient)$/.test(op.name));
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    if (held(of.f(of.specs.map(values)))) continue;
    fc.assert(
      fc.property(seeds, (seed) => {
        const { f, specs } = ofFloats({ ...of, f: (x) => lossOf(of)(x) }, seed);
        if (!specs.length) return;
        // Arguments of roots, logarithms and quotients stay where these are tame.
        const xs = drawn(specs, seed, -0.8), us = drawn(specs, seed + 1);
        const { tangent } = jvp(f, xs, us);
        const at = (h: number) =>
          interpret([f(...xs.map((x, i) => m.add(x, m.mul(us[i], h))))])[0][0];
        const h = 1e-5;
        const slope = (at(h) - at(-h)) / (2 * h);
        const [exact] = interpret([tangent])[0];
        assert(close(exact, slope, 2e-5), `${name}: ${exact}, numerically ${slope} (seed ${seed})`);
      }),
      { numRuns: 4, seed: 7 },
    );
  }
});

Deno.test("forward over reverse, reverse over forward and reverse over reverse agree", () => {
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    const { f, specs } = ofFloats({ ...of, f: (x) => lossOf(of)(x) }, 5);
    if (!specs.length) continue;
    const loss = (xs: Tensor[]) => f(...xs);
    const xs = drawn(specs, 11, -0.8), us = drawn(specs, 12);
    const forward = hvp(loss, xs, us);
    const mixed = grad((x: Tensor[]) => jvp(loss, [x], [us]).tangent)(xs);
    const back = grad((x: Tensor[]) =>
      grad(loss)(x).map((g, i) => m.sum(m.mul(g, us[i]))).reduce((a, b) => m.add(a, b))
    )(xs);
    xs.forEach((_, i) => {
      const [a, b, c] = interpret([forward[i], mixed[i], back[i]]);
      a.forEach((v, k) => {
        assert(close(v, c[k], 1e-7), `${name}, input ${i}: ${v}, ${c[k]} in reverse twice`);
        assert(close(b[k], c[k], 1e-7), `${name}, input ${i}: ${b[k]}, ${c[k]} in reverse twice`);
      });
    });
  }
});

Deno.test("jvp of vmap is vmap of jvp, and second tangents are symmetric", () => {
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    const { f, specs } = ofFloats({ ...of, f: (x) => lossOf(of)(x) }, 3);
    if (!specs.length) continue;
    const wide = specs.map((s) => ({ ...s, shape: [2, ...s.shape] }));
    const [xs, us, ws] = [drawn(wide, 21, -0.8), drawn(wide, 22), drawn(wide, 23)];
    const outside = jvp((...x: Tensor[]) => vmap(f)(...x), xs, us).tangent;
    const inside = vmap((x: Tensor[], u: Tensor[]) => jvp(f, x, u).tangent)(xs, us);
    const twice = (u: Tensor[], w: Tensor[]) =>
      jvp((...x: Tensor[]) => jvp((...z: Tensor[]) => m.sum(vmap(f)(...z)), x, u).tangent, xs, w)
        .tangent;
    const [a, b] = interpret([outside, inside]);
    a.forEach((v, k) => assert(close(v, b[k], 1e-9), `${name}: ${v} outside, ${b[k]} inside`));
    const [[c], [d]] = interpret([twice(us, ws), twice(ws, us)]);
    assert(close(c, d, 1e-7), `${name}: ${c} and ${d}`);
  }
});

Deno.test("no op was left out", () => {
  const leaves = ["input", "constant", "literal", "array"];
  const missing = registered().map((op) => op.name).filter((name) => !driven.has(name));
  // Of whole numbers nothing has a tangent.
  const floats = new Set(
    applications().filter(({ inputs }) => inputs.some((t) => isFloat(t.dtype)))
      .map(({ op }) => op.name),
  );
  const whole = registered().map((op) => op.name).filter((name) => !floats.has(name));
  assertEquals(missing.filter((name) => !leaves.includes(name) && !whole.includes(name)), []);
  assert(whole.length < 24, `${whole}`);
});

Deno.test("jacobians: both modes, of trees; a hessian is symmetric, and its product is hvp's", () => {
  const x = { w: tensor([[0.5, -1, 2], [1, 0.25, -0.5]]), b: tensor([0.5, -0.25]) };
  const f = ({ w, b }: typeof x) => ({
    y: m.tanh(m.add(m.sum(m.square(w), [1]), b)),
    z: m.sum(m.mul(w, m.reshape(b, [2, 1])), [0]),
  });
  const [a, b] = (["forward", "reverse"] as const).map((mode) => jacobian(f, { mode })(x));
  assertEquals(a.y.w.shape, [2, 2, 3]);
  assertEquals(a.z.b.shape, [3, 2]);
  const all = (j: typeof a) => interpret([j.y.w, j.y.b, j.z.w, j.z.b]).flatMap((v) => [...v]);
  all(a).forEach((v, i) => assert(close(v, all(b)[i], 1e-12), `${i}`));
  const loss = (p: typeof x) => m.sum(m.add(m.sum(m.square(f(p).y)), m.sum(m.exp(f(p).z))));
  const h = hessian(loss)(x);
  assertEquals(h.w.b.shape, [2, 3, 2]);
  const [wb, bw] = interpret([h.w.b, m.permute(h.b.w, [1, 2, 0])]);
  wb.forEach((v, i) => assert(close(v, bw[i], 1e-12)));
  const u = { w: m.square(x.w), b: m.neg(x.b) };
  const product = hvp(loss, x, u);
  const expected = m.add(
    m.sum(m.mul(h.b.w, u.w), [1, 2]),
    m.sum(m.mul(h.b.b, u.b), [1]),
  );
  const [p, e] = interpret([product.b, expected]);
  p.forEach((v, i) => assert(close(v, e[i], 1e-10)));
  const halves = jacobian((t: Tensor) => m.square(t))(tensor([1, 2], [2], "f16"));
  assertEquals([halves.spec.dtype, [...interpret([halves])[0]]], ["f16", [2, 0, 0, 4]]);
  assertEquals([...interpret([jacobian((t: Tensor) => m.mul(t, 3))(m.scalar(2))])[0]], [3]);
  assertEquals(jacobian((t: Tensor) => m.square(t))(tensor([])).shape, [0, 0]);
});

Deno.test("compiled, a tangent costs no backward pass: nothing is kept, and one kernel does elementwise work and its tangent", async () => {
  const device = await testDevice();
  const f = (x: Tensor) => m.sin(m.exp(m.square(x)));
  const step = m.compile(device, (x: Tensor, u: Tensor) => jvp(f, [x], [u]));
  const [x, u] = [tensor([0.1, 0.2, 0.3]), tensor([1, -1, 2])];
  assertEquals(step.plan(x, u).dispatches.length, 1);
  const { tangent } = step(x, u);
  const actual = await device.read(tangent) as Float32Array;
  [0.1, 0.2, 0.3].forEach((v, i) => {
    const e = Math.exp(v * v);
    assert(close(actual[i], Math.cos(e) * e * 2 * v * [1, -1, 2][i], 1e-5));
  });
});

Deno.test("what cannot be differentiated forwards is said by name", () => {
  // deno-lint-ignore no-explicit-any
  const [forward, product, all, second] = [jvp, hvp, jacobian, hessian] as any[];
  const x = tensor([1, 2]), ids = tensor([1, 2], [2], "u32");
  const same = (t: Tensor) => t;
  const refused: [() => unknown, string][] = [
    [() => forward(x, [x], [x]), "jvp: argument 1 (fn) is the tensor"],
    [
      () => forward(same, x, x),
      "jvp: argument 2 (primals) is the tensor f32[2], not a list such as [x]",
    ],
    [() => forward(same, [x], x), "jvp: argument 3 (tangents) is the tensor"],
    [() => forward(same, [x], []), 'jvp: the tangent of "0" is undefined'],
    [() => forward(same, [x], [x, x]), "jvp: 2 tangents for 1 primals"],
    [() => forward(same, [{ w: 3 }], [x]), 'jvp: primal "0.w" is the number 3'],
    [() => forward(same, [x], [tensor([1])]), 'primal "0" is f32[2], its tangent f32[1]'],
    [() => forward(same, [ids], [ids]), 'primal "0" is u32[2]: whole numbers have no derivative'],
    [() => forward(() => 3, [x], [x]), "jvp: the result is the number 3"],
    [() => product(3, x, x), "hvp: argument 1 (loss) is the number 3"],
    [() => product(same, x, x), "the loss is f32[2], not one element"],
    [
      () => all(same, { mode: "both" }),
      'options.mode is the string "both", not "forward" or "reverse"',
    ],
    [() => all(same)(ids), "jacobian: the parameter is u32[2]: whole numbers have no derivative"],
    [() => all(() => ids)(x), "jacobian: the result is u32[2]: whole numbers have no derivative"],
    [() => all(same)(3), "jacobian: the parameter is the number 3, not a tensor"],
    [() => second(3), "hessian: argument 1 (loss) is the number 3"],
    [() => second(same)(x), "the loss is f32[2], not one element"],
  ];
  for (const [call, message] of refused) assertThrows(call, Error, message);
});
