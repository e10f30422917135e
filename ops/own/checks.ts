/** What the parts of a user's op are looked at by: whatever is wrong is named, with the op and the part. */
import { expectTensor, type Tensor } from "../../tensor/tensor.ts";
import { sameShape, ShapeError, show, sizeOf, type Spec } from "../../tensor/shape.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { what } from "../../tensor/what.ts";
import { MissingRule, type Op } from "../../tensor/op.ts";

/** Names of what there is in a kernel beside what its author declares. */
const TAKEN =
  /^(?:y|i|e|h|t|wid|lid|main|element|from_bits|four_halves|ep\d*(?:_.*)?|element_|.*_(?:at|put|piece\d+)|_|__.*)$/;

/** Refuses a name that WGSL, or what is added to a kernel, would not take. */
export function expectName(op: string, kind: string, name: unknown): asserts name is string {
  if (typeof name === "string" && /^[A-Za-z_]\w*$/.test(name) && !TAKEN.test(name)) return;
  throw new TypeError(
    `${op}: ${kind} is called ${
      what(name)
    }; names are letters, digits and _, and not y, i, e, h, t, main or element`,
  );
}

/** A record's name, as the op is known by. */
export function nameOf(who: string, { name }: { readonly name: unknown }): string {
  if (typeof name !== "string" || !name.trim() || /[\n\r]/.test(name)) {
    throw new TypeError(`${who}: its name is ${what(name)}, not one line of text`);
  }
  return name.trim();
}

/** Names of a record's arrays. */
export function namesOf(who: string, kind: string, names: unknown): readonly string[] {
  if (!Array.isArray(names) || !names.length) {
    throw new TypeError(`${who}: ${kind} is ${what(names)}, not a list of names such as ["x"]`);
  }
  names.forEach((n) => expectName(who, `one of its ${kind}`, n));
  return [...names];
}

/** A call's inputs and attributes. */
export function split(
  op: string,
  names: readonly string[],
  args: readonly unknown[],
  numbers = false,
): [Tensor[], unknown] {
  if (args.length > names.length + 1) {
    throw new TypeError(
      `${op}: it takes ${names.length} inputs and attributes, not ${args.length} arguments`,
    );
  }
  const inputs = names.map((name, i) => {
    if (!(numbers && typeof args[i] === "number")) {
      expectTensor(op, `argument ${i + 1} (${name})`, args[i], numbers ? " or a number" : "");
    }
    return args[i] as Tensor;
  });
  const attrs = args[names.length];
  if (attrs !== undefined) expectPlain(op, "the attributes", attrs, true);
  return [inputs, attrs];
}

/** Attributes tell equal computations apart from others: they must be comparable. */
export function expectPlain(op: string, place: string, x: unknown, outermost = false): void {
  if (!outermost && (x === null || ["number", "string", "boolean"].includes(typeof x))) return;
  if (!outermost && Array.isArray(x)) {
    return x.forEach((v, i) => expectPlain(op, `${place}[${i}]`, v));
  }
  const plain = x !== null && typeof x === "object" &&
    Object.getPrototypeOf(x) === Object.prototype;
  if (!plain) {
    throw new TypeError(
      `${op}: ${place} ${outermost ? "are" : "is"} ${
        what(x)
      }, not plain data: numbers, texts, lists and objects of them`,
    );
  }
  for (const [key, v] of Object.entries(x)) {
    if (v !== undefined) expectPlain(op, `attribute ${key}`, v);
  }
}

/** What a shape rule gave, as specs. */
export function specsOf(op: string, outputs: readonly string[], given: unknown): readonly Spec[] {
  const list = Array.isArray(given) ? given : [given];
  if (list.length !== outputs.length) {
    throw new TypeError(
      `the shape rule of op "${op}" gave ${list.length} shapes for ${outputs.length} outputs`,
    );
  }
  list.forEach((spec: Spec | undefined, i) => {
    const numbers = Array.isArray(spec?.shape) && spec.shape.every((d) => typeof d === "number");
    if (numbers && Object.hasOwn(BYTES, spec!.dtype)) return;
    throw new TypeError(
      `the shape rule of op "${op}" gave ${what(spec)} for ${outputs[i]}, not { shape, dtype }`,
    );
  });
  return list.map(({ shape, dtype }) => ({ shape, dtype }));
}

/** Refuses to differentiate. */
export function underived(name: string): never {
  throw new MissingRule(
    `op "${name}" has no derivative: give its record a vjp (null where it is zero), or hold it back with stopGradient`,
  );
}

/** Refuses to compare. */
export function undefinedReference(name: string): never {
  throw new MissingRule(`op "${name}" has no definition in float64: give its record a reference`);
}

/** A record's vjp, of which every cotangent is looked at. */
export function vjpOf<A>(name: string, rule: Op<A>["vjp"] | null | undefined): Op<A>["vjp"] {
  return (g, node, wanted) => {
    if (rule === null) return [];
    if (!rule) underived(name);
    const made = some(`the vjp of op "${name}"`, rule(g, node, wanted), node.inputs.length);
    made.forEach((t, i) => {
      const x = node.inputs[i];
      if (!t || !wanted[i] || (sameShape(t.shape, x.shape) && t.dtype === x.dtype)) return;
      throw new ShapeError(
        `the vjp of op "${name}"`,
        `cotangent ${i + 1} is ${show(t.spec)}, the input ${show(x.spec)}`,
      );
    });
    return made;
  };
}

/** A record's reference, what it gives being looked at. */
export function referenceOf<A>(
  name: string,
  rule: Op<A>["reference"] | undefined,
): Op<A>["reference"] {
  return (inputs, specs, attrs, out) => {
    if (!rule) undefinedReference(name);
    const made: unknown = rule(inputs, specs, attrs, out);
    const fits = Array.isArray(made) && made.length === out.length &&
      made.every((y, i) => y?.length === sizeOf(out[i].shape));
    if (fits) return made.map((y) => Float64Array.from(y));
    throw new TypeError(
      `the reference of op "${name}" gave ${what(made)}, not ${out.map(show)} as flat arrays`,
    );
  };
}

/** A list of tensors, some of which may be undefined. */
export function some(who: string, list: unknown, length: number): (Tensor | undefined)[] {
  if (!Array.isArray(list) || list.length !== length) {
    throw new TypeError(`${who} gave ${what(list)}, not a list of ${length}`);
  }
  list.forEach((t, i) => {
    if (t !== undefined) expectTensor(who, `entry ${i + 1}`, t);
  });
  return list;
}

/** A list of tensors. */
export function tensorList(who: string, list: unknown, length: number): Tensor[] {
  const made = some(who, list, length);
  made.forEach((t, i) => expectTensor(who, `entry ${i + 1}`, t));
  return made as Tensor[];
}

/**
 * WGSL as part of a program's key. An author's functions may read what changes (a constant above them that is tried out in a
 * notebook), so that the op's name and attributes do not tell what they give.
 *
 * @returns undefined where it throws: the error is that of who makes the kernel
 */
export function textOf(code: () => unknown): string | undefined {
  try {
    return JSON.stringify(code()) ?? "";
  } catch {
    return undefined;
  }
}
