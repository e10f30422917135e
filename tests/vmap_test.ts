// vmap of every op, and of functions and their gradients, is a loop over examples.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import { evaluate, grad, ShapeError, type Tensor, tensor, vmap } from "../mod.ts";
import type { Axes } from "../autograd/vmap.ts";
import { interpret } from "../compile/interpret.ts";
import { moveAxis } from "../ops/batch/fold.ts";
import { registered } from "../tensor/op.ts";
import type { Spec } from "../tensor/shape.ts";
import { isFloat } from "../tensor/dtype.ts";
import { testDevice } from "./support/check.ts";
import { applications, asFunction, FUNCTIONS, lossOf, values } from "./support/applications.ts";

const driven = new Map<string, Set<string>>();
for (const op of registered()) {
  const { batch } = op;
  op.batch = (b) => {
    const flags = driven.get(op.name) ?? new Set();
    driven.set(op.name, flags.add(b.batched.map(Number).join("")));
    return batch.call(op, b);
  };
}

const N = 3;

/** Inputs of which some have an axis for examples, wherever that may lie. */
interface Mapped {
  readonly axes: (number | null)[];
  readonly given: Tensor[];
  /** The inputs of example `i`. */
  readonly of: (i: number) => Tensor[];
}

/** @param which whether each input differs from example to example; `turn` moves where its axis lies */
function mapped(specs: readonly Spec[], which: readonly boolean[], turn: number, n = N): Mapped {
  const axes = specs.map((s, k) => which[k] ? (turn + k) % (s.shape.length + 1) : null);
  const given = specs.map((s, k) => {
    if (axes[k] === null) return values(s, k + 1);
    return values({ ...s, shape: s.shape.toSpliced(axes[k], 0, n) }, k + 1);
  });
  const of = (i: number) =>
    given.map((t, k) => {
      const axis = axes[k];
      if (axis === null) return t;
      return m.reshape(m.slice(t, axis, i, i + 1), specs[k].shape);
    });
  return { axes, given, of };
}

/** Every choice of inputs; of many inputs, single ones, all but one, and all. */
function choices(inputs: number): boolean[][] {
  const all = Array.from(
    { length: 2 ** inputs - 1 },
    (_, bits) => Array.from({ length: inputs }, (_, k) => ((bits + 1) >> k) % 2 === 1),
  );
  const count = (c: boolean[]) => c.filter((x) => x).length;
  return inputs <= 3 ? all : all.filter((c) => [1, inputs - 1, inputs].includes(count(c)));
}

/** That every result of examples, whose axis is `axis`, holds the results of each. */
function assertLoop(
  what: string,
  all: readonly Tensor[],
  axes: readonly number[],
  each: Tensor[][],
): void {
  const rows = interpret(all.map((t, k) => moveAxis(t, axes[k], 0)));
  for (const [k, t] of all.entries()) {
    assertEquals(t.shape, each[0][k].shape.toSpliced(axes[k], 0, each.length), what);
    assertEquals(t.dtype, each[0][k].dtype, what);
    const expected = each.flatMap((one) => [...interpret([one[k]])[0]]);
    expected.forEach((e, i) => {
      const close = Object.is(rows[k][i], e) ||
        Math.abs(rows[k][i] - e) <= 1e-9 * Math.max(1, Math.abs(e));
      assert(close, `${what}: result ${k}, element ${i} is ${rows[k][i]}, the loop has ${e}`);
    });
  }
}

Deno.test("vmap of every op is a loop over examples: every choice of inputs, along every axis", () => {
  for (const node of applications()) {
    const f = asFunction(node);
    const specs = node.inputs.map((t) => t.spec);
    for (const [turn, which] of choices(specs.length).entries()) {
      const { axes, given, of } = mapped(specs, which, turn);
      const outAxes = node.outputs.map((t, k) => (turn + k) % (t.shape.length + 1));
      const all = vmap(f, { inAxes: axes, outAxes })(...given);
      const what = `${node.op.name} ${node.inputs} of axes ${axes}`;
      assertLoop(what, all, outAxes, Array.from({ length: N }, (_, i) => f(...of(i))));
    }
  }
});

Deno.test("so is vmap of vmap, whichever inputs each of them maps", () => {
  for (const node of applications()) {
    const f = asFunction(node);
    const specs = node.inputs.map((t) => t.spec);
    const outer = choices(specs.length);
    for (const [turn, which] of outer.entries()) {
      const inner = mapped(specs, outer[(turn * 2 + 1) % outer.length], turn + 1, 2);
      const { axes, given, of } = mapped(inner.given.map((t) => t.spec), which, turn);
      const once = vmap(f, { inAxes: inner.axes });
      const all = vmap(once, { inAxes: axes })(...given);
      const each = Array.from({ length: N }, (_, i) => once(...of(i)));
      assertLoop(`${node.op.name}, nested`, all, all.map(() => 0), each);
    }
  }
});

Deno.test("examples may be one, or none", () => {
  for (const node of applications()) {
    const f = asFunction(node);
    const specs = node.inputs.map((t) => t.spec);
    const one = mapped(specs, specs.map(() => true), 0, 1);
    assertLoop(
      node.op.name,
      vmap(f, { inAxes: one.axes })(...one.given),
      node.outputs.map(() => 0),
      [f(...one.of(0))],
    );
    const none = mapped(specs, specs.map(() => true), 0, 0);
    vmap(f, { inAxes: none.axes })(...none.given).forEach((t, k) => {
      assertEquals(t.spec, { ...node.outputs[k].spec, shape: [0, ...node.outputs[k].shape] });
      assertEquals(interpret([t])[0].length, 0);
    });
  }
});

Deno.test("vmap of functions and of their gradients is a loop, in every element type", () => {
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    for (const half of [false, true]) {
      const specs = of.specs.map((s): Spec =>
        half && isFloat(s.dtype) ? { ...s, dtype: "f16" } : s
      );
      for (const [turn, which] of choices(specs.length).entries()) {
        const x = mapped(specs, which, turn);
        const floats = specs.flatMap((s, i) => isFloat(s.dtype) ? [i] : []);
        const loss = (all: Tensor[]) => (some: Tensor[]) =>
          lossOf(of)(floats.reduce((xs, at, i) => xs.with(at, some[i]), all));
        const one = (...xs: Tensor[]) => [of.f(xs), ...grad(loss(xs))(floats.map((i) => xs[i]))];
        let each: Tensor[][];
        try {
          each = Array.from({ length: N }, (_, i) => one(...x.of(i)));
        } catch (error) {
          assert(
            half && error instanceof ShapeError && /cast one of them/.test(error.message),
            `${name}: ${error}`,
          );
          continue;
        }
        const all = vmap(one, { inAxes: x.axes })(...x.given);
        assertLoop(name, all, all.map(() => 0), each);
      }
    }
  }
});

Deno.test("the gradient of a vmap is the sum of what flows to each example", () => {
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    if (of.specs.some((s) => !isFloat(s.dtype))) continue;
    for (const [turn, which] of choices(of.specs.length).entries()) {
      const { axes, given, of: example } = mapped(of.specs, which, turn);
      const mappedLoss = (xs: Tensor[]) =>
        m.sum(vmap((...x: Tensor[]) => lossOf(of)(x), { inAxes: axes })(...xs));
      const loop = (xs: Tensor[]) =>
        Array.from({ length: N }, (_, i) =>
          lossOf(of)(xs.map((t, k) => {
            const axis = axes[k];
            return axis === null ? t : m.reshape(m.slice(t, axis, i, i + 1), of.specs[k].shape);
          }))).reduce((a, b) => m.add(a, b));
      assert(example(0).length === given.length);
      const [a, b] = [grad(mappedLoss)(given), grad(loop)(given)];
      a.forEach((g, k) =>
        assertLoop(`${name}, input ${k}`, [m.reshape(g, [1, ...g.shape])], [0], [[b[k]]])
      );
    }
  }
});

Deno.test("on the device, compiled, it is the loop, too", async () => {
  const device = await testDevice();
  for (const [name, of] of Object.entries(FUNCTIONS)) {
    const which = choices(of.specs.length);
    const chosen = [which[0], which.at(-1)!];
    const floats = of.specs.flatMap((s, i) => isFloat(s.dtype) ? [i] : []);
    const one = (...xs: Tensor[]) => {
      const loss = (some: Tensor[]) =>
        lossOf(of)(floats.reduce((all, at, i) => all.with(at, some[i]), xs));
      return [of.f(xs), ...grad(loss)(floats.map((i) => xs[i]))];
    };
    const made = chosen.map((c, turn) => {
      const { axes, given } = mapped(of.specs, c, turn);
      return vmap(one, { inAxes: axes })(...given);
    });
    const found = evaluate(device, made);
    for (const [c, results] of found.entries()) {
      for (const [k, t] of results.entries()) {
        const actual = Array.from(await device.read(t), Number);
        const expected = interpret([made[c][k]])[0];
        const size = expected.reduce((n, v) => Math.max(n, Math.abs(v)), 1e-3);
        const worst = actual.reduce((n, v, i) => Math.max(n, Math.abs(v - expected[i]) || 0), 0);
        // A row of one element has a variance of nothing but rounding; a cast to f16 has f16's.
        const most = name === "cast" ? 4e-3 : name === "layerNorm of one" ? 1 : 3e-4;
        assert(
          worst <= most * size,
          `${name}, choice ${chosen[c]}, result ${k}: off by ${worst} of ${size}`,
        );
        device.free(t);
      }
    }
  }
});

Deno.test("a batch rule was driven for every op, with every input mapped alone where there are several", () => {
  const leaves = ["input", "constant", "literal", "array"];
  const missing = registered().filter(({ name }) => !leaves.includes(name) && !driven.has(name));
  assertEquals(missing.map((op) => op.name), []);
  for (const [name, flags] of driven) {
    const inputs = [...flags][0].length;
    // These take what they repeat beside what it was made of.
    if (/^(checkpoint|customVjp)$/.test(name)) continue;
    for (let i = 0; i < inputs; i++) {
      const alone = Array.from({ length: inputs }, (_, k) => Number(k === i)).join("");
      assert(flags.has(alone), `${name} with input ${i} alone`);
    }
  }
});

Deno.test("axes: in, out, trees of them, and what is the same for all examples", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
    fc.nat(),
    fc.nat(),
    (shape, from, to) => {
      const rank = shape.length;
      const inAxes = from % (2 * rank) - rank, outAxes = to % (2 * rank) - rank;
      const x = values({ shape, dtype: "f32" }, 1);
      const y = vmap((t: Tensor) => m.mul(t, 2), { inAxes, outAxes })(x);
      const at = (a: number) => a < 0 ? a + rank : a;
      const expected = m.mul(moveAxis(x, at(inAxes), at(outAxes)), 2);
      assertEquals(y.shape, expected.shape);
      assertEquals(interpret([y]), interpret([expected]));
    },
  ));
  const f = ({ w, b }: { w: Tensor; b: Tensor }, x: Tensor) => ({ y: m.add(m.mul(w, x), b), b });
  const params = { w: tensor([[1, 2], [3, 4]]), b: tensor([10, 20]) };
  const inAxes: Axes = [{ w: 1, b: null }, 0];
  const { y, b } = vmap(f, { inAxes, outAxes: { y: 1, b: null } })(
    params,
    tensor([[1, 1], [2, 2]]),
  );
  assert(b === params.b);
  assertEquals([...interpret([y])[0]], [11, 14, 23, 28]);
  const same = vmap((x: Tensor) => [x, params.b])(tensor([1, 2, 3]));
  assertEquals(same[1].shape, [3, 2]);
});

Deno.test("what vmap cannot do is said by name before anything is computed", () => {
  // deno-lint-ignore no-explicit-any
  const map = vmap as any;
  const x = tensor([[1, 2, 3], [4, 5, 6]]);
  const same = (t: Tensor) => t;
  const refused: [() => unknown, string][] = [
    [() => map(x), "vmap: argument 1 (fn) is the tensor f32[2,3], not a function"],
    [() => map(same, { in_axes: 0 }), 'there is no option "in_axes"; it takes { inAxes, outAxes }'],
    [() => map(same)(3), "vmap: argument 1 is the number 3, not a tensor"],
    [() => map(same)({ w: 3 }), 'vmap: argument 1, "w", is the number 3, not a tensor'],
    [() => map(same, { inAxes: 2 })(x), "vmap: axis 2 is out of range for 2 dimensions"],
    [() => map(same, { inAxes: "0" })(x), 'inAxes is the string "0", not an axis or null'],
    [() => map(same, { inAxes: [0, 0] })(x), "inAxes is a list of 2 numbers, unlike the arguments"],
    [
      () => map(same, { inAxes: [{ w: 0 }] })({ v: x }),
      "unlike the arguments there: an object with v",
    ],
    [() => map(same, { inAxes: null })(x), "nothing is mapped"],
    [() => map(() => x)(), "nothing is mapped"],
    [
      () => map(same, { outAxes: null })(x),
      "the result differs from example to example, and outAxes says null",
    ],
    [() => map(same, { outAxes: 3 })(x), "axis 3 is out of range for 2 dimensions"],
    [() => map(() => 3)(x), "vmap: the result is the number 3, not a tensor"],
    [
      () => map((a: Tensor, b: Tensor) => m.add(a, b), { inAxes: [0, 1] })(x, x),
      "argument 1 has 2 examples, argument 2 f32[2,3] has 3 along axis 1",
    ],
  ];
  for (const [call, message] of refused) assertThrows(call, Error, message);
});

Deno.test("inside of compile, a batch is one program; a key for each example draws what each alone would", async () => {
  const device = await testDevice();
  const noisy = (key: Tensor, x: Tensor) => m.add(x, m.randomNormal(key, [4, 2]));
  const keys = tensor([1, 2, 3, 4, 5, 6], [3, 2], "u32");
  const x = tensor(new Float32Array(8), [4, 2]);
  const step = m.compile(
    device,
    (k: Tensor, t: Tensor) => vmap(noisy, { inAxes: [0, null] })(k, t),
  );
  const all = await device.read(step(keys, x)) as Float32Array;
  for (let i = 0; i < 3; i++) {
    const key = tensor([2 * i + 1, 2 * i + 2], [2], "u32");
    const one = await device.read(evaluate(device, noisy(key, x))) as Float32Array;
    assertEquals([...all.subarray(8 * i, 8 * i + 8)], [...one]);
  }
  const { dispatches } = step.plan(keys, x);
  assertEquals(dispatches.length, 1);
});
