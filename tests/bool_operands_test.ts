// Truth values beside other operands: which types they go with and count beside, literals among them, and who refuses the rest.
import { assert, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { scalar, type Tensor, tensor } from "../mod.ts";
import { test } from "./support/devices.ts";
import { is } from "./support/retyped.ts";

const [T, F] = [true, false];

test("what ones, zeros and full give of one element counts as any tensor of truth does, on either side", async (device) => {
  const { add, sub, mul, maximum, bitwiseAnd, equal, less, leftShift, fmod, logicalOr } = m;
  const where = (a: m.Operand, b: m.Operand) => m.where(tensor([T, F]), a, b);
  const both = {
    add,
    sub,
    mul,
    maximum,
    bitwiseAnd,
    equal,
    less,
    leftShift,
    fmod,
    logicalOr,
    where,
  };
  const ids = tensor(Uint32Array.of(3, 1)), mask = tensor([F, T]);
  const known = [m.ones([], "bool"), m.zeros([], "bool"), m.full([], 1, "bool")];
  for (const literal of known) {
    const constant = tensor(String(literal) === "bool[] true");
    for (const [name, f] of Object.entries(both)) {
      for (const other of [literal, mask, ids, ...name === "where" ? [] : [1]]) {
        for (const [a, b] of [[literal, other], [other, literal]] as m.Operand[][]) {
          const [made, wanted] = [
            f(a, b),
            f(...[a, b].map((o) => o === literal ? constant : o) as [Tensor, Tensor]),
          ];
          await is(device, made, wanted.dtype, await device.toArray(wanted));
        }
      }
    }
    for (
      const f of [
        m.logicalNot,
        m.bitwiseNot,
        m.abs,
        m.square,
        m.relu,
        m.sum,
        m.any,
        (t: Tensor) => m.clamp(t, 0, 5),
      ]
    ) {
      const wanted = f(constant);
      await is(device, f(literal), wanted.dtype, await device.toArray(wanted));
    }
  }
  // As a number would, it has the type of what it is beside, whichever comes first.
  for (const [a, b] of [[known[0], tensor([0.5])], [tensor([0.5]), known[0]]]) {
    await is(device, m.add(a, b), "f32", [1.5]);
  }
  await is(device, m.maximum(m.full([], 3, "u32"), mask), "u32", [3, 3]);
  // The least that a loop begins with.
  const { n } = m.whileLoop(
    ({ done }) => m.logicalNot(done),
    ({ n }) => ({ n: m.add(n, 1), done: m.greater(n, 3) }),
    { n: scalar(0), done: m.zeros([], "bool") },
    { maxSteps: 9 },
  );
  await is(device, n, "f32", 5);
});

test("joins and products count truth values beside u32, and refuse other types by their own name", async (device) => {
  const a = tensor([T, F]), ids = tensor(Uint32Array.of(3, 5));
  await is(device, m.einsum("i,i->", a, ids), "u32", 3);
  await is(device, m.einsum("i,j->ij", ids, a), "u32", [[3, 0], [5, 0]]);
  await is(device, m.outer(a, ids), "u32", [[3, 5], [0, 0]]);
  await is(device, m.stack([a, ids]), "u32", [[1, 0], [3, 5]]);
  const many = m.concat([...Array<Tensor>(9).fill(a), ids], 0);
  await is(device, m.slice(many, 0, 16, 20), "u32", [1, 0, 3, 5]);
  for (const other of [tensor([1, 2]), tensor([1n, 2n]), tensor([1, 2], [2], "f16")]) {
    const calls: Record<string, () => unknown> = {
      concat: () => m.concat([a, a, other], 0),
      stack: () => m.stack([a, other]),
      einsum: () => m.einsum("i,i->", a, other),
      outer: () => m.outer(other, a),
      add: () => m.add(other, a),
      where: () => m.where(a, other, a),
      fmod: () => m.fmod(a, other),
    };
    for (const [name, f] of Object.entries(calls)) {
      const { message } = assertThrows(f, m.ShapeError);
      assert(message.startsWith(`${name}: `), message);
      assert(message.includes("bool[2]") && message.includes(`${other.dtype}[2]`), message);
      assert(message.endsWith("cast one of them first"), message);
    }
  }
});
