// customVjp: derivatives of a user's own, in every transformation, and all that may be wrong with one.
import { assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { customVjp, grad, jvp, type Tensor, tensor, vmap } from "../mod.ts";
import { near, onDevice, values } from "./support/own.ts";
import { testDevice } from "./support/check.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
const custom = customVjp as Any;
const x = tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]);

Deno.test("customVjp: a derivative of one's own, in every transformation", async () => {
  // log(1 + eˣ), whose parts are infinite where it is not.
  const softplus: (t: Tensor) => Tensor = customVjp(
    (t: Tensor) => m.add(m.maximum(t, 0), m.log(m.add(m.exp(m.neg(m.abs(t))), 1))),
    {
      forward: (t) => [softplus(t), t] as const,
      backward: (t, g) => [m.mul(g, m.sigmoid(t))],
    },
  );
  const t = tensor([-200, -1, 0, 2, 200]);
  const slope = (n: number) => 1 / (1 + Math.exp(-n));
  const expected = [-200, -1, 0, 2, 200].map(slope);
  near(await onDevice(softplus(t)), [
    0,
    Math.log1p(Math.exp(-1)),
    Math.log(2),
    2 + Math.log1p(Math.exp(-2)),
    200,
  ]);
  near(await onDevice(grad((v: Tensor) => m.sum(softplus(v)))(t)), expected);
  near(values(vmap(grad((v: Tensor) => softplus(v)))(t)), expected);
  near(values(jvp(softplus, [t], [m.expand(m.scalar(1), [5])]).tangent), expected);
  near(values(m.checkpoint(grad((v: Tensor) => m.sum(softplus(v))))(t)), expected);
  const second = m.hvp((v: Tensor) => m.sum(softplus(v)), t, m.expand(m.scalar(1), [5]));
  near(values(second), expected.map((s) => s * (1 - s)));
  const device = await testDevice();
  // The function and its rule compute the same thing: it is computed once.
  const both = m.compile(device, (v: Tensor) => m.valueAndGrad((u: Tensor) => softplus(u))(v));
  assertEquals(
    both.plan(m.scalar(1)).tape.filter(({ op }) => op.name === "log").length,
    1,
  );
});

Deno.test("customVjp: trees, what is zero, and what is shared by all examples", () => {
  type P = { readonly w: Tensor; readonly b: Tensor };
  const affine = customVjp(({ w, b }: P, v: Tensor) => ({ y: m.add(m.mul(w, v), b), w }), {
    forward: (p, v) =>
      [{ y: m.add(m.mul(p.w, v), p.b), w: p.w }, { p, v, note: "anything" }] as const,
    // Ten times the derivative, to be told apart; nothing for b.
    backward: ({ v }, g) => [{ w: m.mul(m.mul(g.y, v), 10) }, undefined],
  });
  const p = { w: tensor([2, 3]), b: tensor([1, 1]) };
  const loss = (q: P, v: Tensor) => m.sum(affine(q, v).y);
  const g = grad((q: P) => loss(q, tensor([5, 7])))(p);
  assertEquals([values(g.w), values(g.b)], [[50, 70], [0, 0]]);
  assertEquals(values(grad((v: Tensor) => loss(p, v))(tensor([5, 7]))), [0, 0]);
  const each = vmap((v: Tensor) => grad((q: P) => loss(q, v))(p))(tensor([[5, 7], [1, 2]]));
  assertEquals(values(each.w), [50, 70, 10, 20]);
  const all = grad((q: P) => m.sum(vmap((v: Tensor) => loss(q, v))(tensor([[5, 7], [1, 2]]))))(p);
  assertEquals(values(all.w), [60, 90]);
});

Deno.test("customVjp: what is wrong with a rule is said by name", () => {
  const same = (t: Tensor) => m.mul(t, 1);
  const rule = { forward: (t: Tensor) => [same(t), t], backward: (_: Tensor, g: Tensor) => [g] };
  const of = (more: Any) => () =>
    grad((t: Tensor) => m.sum(custom(same, { ...rule, ...more })(t)))(x);
  const wrong: [() => unknown, string][] = [
    [() => custom(3, rule), "customVjp: argument 1 (fn) is the number 3"],
    [() => custom(same), "customVjp: argument 2 (options) is undefined"],
    [
      () => custom(same, { forward: same }),
      "argument 2 has no backward; it takes { forward, backward }",
    ],
    [() => custom(same, { ...rule, fwd: same }), 'there is no option "fwd"'],
    [() => custom(same, rule)(3), 'customVjp: the argument "0" is the number 3'],
    [() => custom(() => 3, rule)(x), "customVjp: the result is the number 3"],
    [of({ forward: same }), "forward gave the tensor f32[2,5], not [value, residuals]"],
    [of({ forward: (t: Tensor) => [m.sum(t), t] }), "forward gave f32[], same f32[2,5]"],
    [of({ forward: (t: Tensor) => [{ y: t }, t] }), "forward gave y f32[2,5], same f32[2,5]"],
    [
      of({ backward: (_: Any, g: Tensor) => g }),
      "backward gave the tensor f32[2,5], not a list of 1",
    ],
    [of({ backward: () => [] }), "backward gave an empty list, not a list of 1"],
    [
      of({ backward: () => [m.scalar(1)] }),
      "backward's cotangent of argument 1 is f32[], the argument f32[2,5]",
    ],
    [of({ backward: () => [3] }), "backward's cotangent of argument 1 is the number 3"],
    [
      of({ backward: (_: Any, g: Tensor) => [{ w: g }] }),
      'argument 1 "w" belongs to nothing that was passed',
    ],
  ];
  for (const [call, message] of wrong) assertThrows(call, Error, message);
  const closed = (w: Tensor) => m.sum(custom((t: Tensor) => m.mul(t, w), rule)(x));
  assertThrows(
    () => grad(closed)(x),
    TypeError,
    "reads a tensor that is differentiated without being its argument",
  );
  const clipped = customVjp(same, {
    forward: (t) => [same(t), 0] as const,
    backward: (_, g) => [m.clamp(g, -1, 1)],
  });
  assertEquals(values(grad((t: Tensor) => m.sum(m.mul(clipped(t), 5)))(tensor([1, 2]))), [1, 1]);
  assertThrows(() => jvp(clipped, [x], [x]), TypeError, "other than linearly");
});
