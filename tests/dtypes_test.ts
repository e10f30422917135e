// Every public function of the ops with every element type: it gives what its float64 definition gives, or refuses the type by its
// own name and the type's, before anything is compiled. docs/library/element-types.md says which; the table there is what this finds.
import { assert, assertEquals } from "@std/assert";
import * as library from "../mod.ts";
import { type DType, evaluate, Tensor } from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { isFloat } from "../tensor/dtype.ts";
import { CALLS } from "./support/argument_calls.ts";
import { relativeError, testDevice } from "./support/check.ts";
import { retyped, tensorsOf, typeOf, TYPES } from "./support/retyped.ts";

// deno-lint-ignore no-explicit-any
const api = library as any;

/** Whether a call is taken. What it gives must be right then; else the refusal must name the function and the types. */
async function takes(
  name: string,
  args: readonly unknown[],
  about: string,
  ...named: readonly string[]
): Promise<boolean> {
  const device = await testDevice();
  let results: Tensor[];
  try {
    results = tensorsOf(api[name](...args));
  } catch (error) {
    const { message } = error as Error;
    const kind = error instanceof library.ShapeError || error instanceof TypeError;
    assert(kind, `${about}: ${message}`);
    assert(message.startsWith(`${name}: `), `${about} calls itself otherwise: ${message}`);
    for (const type of named) assert(message.includes(type), `${about} lacks ${type}: ${message}`);
    return false;
  }
  const exact = interpret(results);
  for (const [i, t] of evaluate(device, results).entries()) {
    const values = Array.from(await device.read(t), Number);
    const all = `${about}, result ${i}: ${values}, exactly ${exact[i]}`;
    assertEquals(t.spec, results[i].spec, about);
    device.free(t);
    if (!isFloat(t.dtype)) {
      assertEquals(values, [...exact[i]], all);
      continue;
    }
    const half = named.includes("f16") || t.dtype === "f16";
    const finite = (v: number) => Number.isFinite(v) ? v : 0;
    assertEquals(values.map(Number.isFinite), Array.from(exact[i], Number.isFinite), all);
    assert(relativeError(values.map(finite), exact[i].map(finite)) < (half ? 4e-3 : 2e-5), all);
  }
  return true;
}

const found = new Map<string, string[]>();
for (const [name, args] of Object.entries(CALLS)) {
  const own = typeOf(name);
  if (!own) continue;
  Deno.test(`element types: ${name}`, async () => {
    const types: DType[] = [];
    for (const to of TYPES) {
      const all = args.map((a) => retyped(a, own, to));
      if (await takes(name, all, `${name} of ${to}`, to)) types.push(to);
    }
    const key = types.map((t) => `\`${t}\``).join(" ");
    found.set(key, [...found.get(key) ?? [], name]);
    const tensors = args.flatMap((a, i) => a instanceof Tensor ? [i] : []);
    for (const i of tensors) {
      // One argument of another type: ids that are no whole numbers, operands that differ.
      for (const to of TYPES) {
        const { dtype } = args[i] as Tensor;
        if (to === dtype || tensors.length === 1) continue;
        const one = args.map((a, k) => k === i ? retyped(a, dtype, to) : retyped(a, "f32", "f32"));
        await takes(name, one, `${name} with argument ${i + 1} of ${to}`, to);
      }
    }
  });
}

Deno.test("docs/library/element-types.md says which element types every function takes", async () => {
  const page = await Deno.readTextFile(
    new URL("../docs/library/element-types.md", import.meta.url),
  );
  const rows = [...found].map(([types, names]) => `| ${types} | ${names.sort().join(" ")} |`)
    .sort();
  for (const row of rows) assert(page.includes(`\n${row}\n`), `the page lacks\n${rows.join("\n")}`);
});
