/** The functions of WGSL that kernels may call: what each takes and gives. What is missing is refused by name. */
import { WgslError } from "./error.ts";
import { agrees, coerce, concrete, isFloat } from "./fold.ts";
import { type Expr, type Scalar, showType, type Type, type as T } from "./tree.ts";

type Kind = "float" | "number" | "integer" | "signed";

/** Functions whose arguments and result are of one type, with how many arguments. */
const ALIKE: Readonly<Record<string, readonly [count: number, kind: Kind]>> = {
  abs: [1, "number"],
  sign: [1, "signed"],
  min: [2, "number"],
  max: [2, "number"],
  clamp: [3, "number"],
  floor: [1, "float"],
  ceil: [1, "float"],
  round: [1, "float"],
  trunc: [1, "float"],
  fract: [1, "float"],
  sqrt: [1, "float"],
  inverseSqrt: [1, "float"],
  exp: [1, "float"],
  exp2: [1, "float"],
  log: [1, "float"],
  log2: [1, "float"],
  sin: [1, "float"],
  cos: [1, "float"],
  tan: [1, "float"],
  asin: [1, "float"],
  acos: [1, "float"],
  atan: [1, "float"],
  atan2: [2, "float"],
  sinh: [1, "float"],
  cosh: [1, "float"],
  asinh: [1, "float"],
  acosh: [1, "float"],
  atanh: [1, "float"],
  tanh: [1, "float"],
  pow: [2, "float"],
  fma: [3, "float"],
  step: [2, "float"],
  mix: [3, "float"],
  saturate: [1, "float"],
  countOneBits: [1, "integer"],
  countLeadingZeros: [1, "integer"],
  countTrailingZeros: [1, "integer"],
};

/** Names that say what a kernel wants of a GPU that this device has not. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/Barrier$|^workgroupUniformLoad$/, "barriers"],
  [/^atomic/, "atomics"],
  [/^(subgroup|quad)/, "subgroup operations"],
  [/^texture/, "textures"],
  [/^(dpdx|dpdy|fwidth)/, "derivatives"],
  [/^(mat\d|transpose$|determinant$)/, "matrices"],
  [/^array/, "arrays inside functions"],
];

/** Throws that a name is unknown, or what it stands for is not supported. */
export function refuseCall(name: string, line: number): never {
  const found = REFUSED.find(([pattern]) => pattern.test(name));
  throw new WgslError(
    line,
    found
      ? `${found[1]} (${name}) are not supported by the CPU device`
      : `there is no function "${name}"`,
  );
}

const takes = (kind: Kind, s: Scalar): boolean =>
  kind === "float"
    ? isFloat(s)
    : kind === "integer"
    ? !isFloat(s) && s !== "bool"
    : s !== "bool" && (kind === "number" || s !== "u32");

/** The one type that arguments have, abstract numbers turning into that of the others. */
export function unified(args: readonly Expr[], line: number): Expr[] {
  const lead = args.find((a) => a.type.scalar !== "int" && a.type.scalar !== "float") ??
    args.find((a) => a.type.scalar === "float") ?? args[0];
  const to = lead.type;
  return args.map((a) => agrees(a, to) ? coerce(a, to, line) : fail(a, to, line));
}

function fail(e: Expr, to: Type, line: number): never {
  throw new WgslError(line, `expected ${showType(to)}, found ${showType(e.type)}`);
}

function counted(name: string, args: readonly Expr[], n: number, line: number): void {
  if (args.length !== n) {
    throw new WgslError(line, `${name} takes ${n} arguments, not ${args.length}`);
  }
}

/** A call of a built-in function. */
export function builtinCall(name: string, given: readonly Expr[], line: number): Expr {
  const alike = Object.hasOwn(ALIKE, name) ? ALIKE[name] : undefined;
  if (alike) {
    const [count, kind] = alike;
    counted(name, given, count, line);
    let args = unified(given, line).map((a) => concrete(a, line));
    if (
      kind === "float" && args[0].type.scalar === "i32" && given.every((a) => a.kind === "const")
    ) {
      args = given.map((a) => coerce(a, T("f32", a.type.width), line));
    }
    const { type } = args[0];
    if (!takes(kind, type.scalar) || type.scalar === "f16") {
      throw new WgslError(line, `${name} is not defined for ${showType(type)}`);
    }
    return { kind: "call", type, name, args };
  }
  switch (name) {
    case "select":
      return select(given, line);
    case "dot": {
      counted(name, given, 2, line);
      const args = unified(given, line);
      const { scalar, width } = args[0].type;
      if (width === 1 || scalar === "bool" || scalar === "f16") {
        throw new WgslError(line, `dot is not defined for ${showType(args[0].type)}`);
      }
      return { kind: "call", type: T(scalar), name, args };
    }
    case "all":
    case "any": {
      counted(name, given, 1, line);
      if (given[0].type.scalar !== "bool") fail(given[0], T("bool"), line);
      return { kind: "call", type: T("bool"), name, args: given };
    }
    case "pack2x16float":
      counted(name, given, 1, line);
      return { kind: "call", type: T("u32"), name, args: [coerce(given[0], T("f32", 2), line)] };
    case "unpack2x16float":
      counted(name, given, 1, line);
      return { kind: "call", type: T("f32", 2), name, args: [coerce(given[0], T("u32"), line)] };
  }
  return refuseCall(name, line);
}

function select(given: readonly Expr[], line: number): Expr {
  counted("select", given, 3, line);
  const [no, yes] = unified(given.slice(0, 2), line).map((e) => concrete(e, line));
  const test = given[2];
  const { width } = test.type;
  if (test.type.scalar !== "bool" || (width !== 1 && width !== no.type.width)) {
    throw new WgslError(
      line,
      `select takes a bool or one for each lane, not ${showType(test.type)}`,
    );
  }
  return { kind: "call", type: no.type, name: "select", args: [no, yes, test] };
}
