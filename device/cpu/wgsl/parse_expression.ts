/** Expressions and type names. Operators bind as WGSL has them: what it wants in parentheses is refused without. */
import { WgslError } from "./error.ts";
import type { Reader } from "./reader.ts";
import type { Syntax, TypeName } from "./syntax.ts";

/** Names that `<` may follow in an expression. */
const TEMPLATES = new Set(["vec2", "vec3", "vec4", "array", "bitcast", "ptr", "atomic"]);

/** The most operators in a row: each makes the tree one deeper. */
const CHAIN = 800;

const LEVELS: readonly (readonly string[])[] = [
  ["||"],
  ["&&"],
  ["|"],
  ["^"],
  ["&"],
  ["==", "!=", "<", ">", "<=", ">="],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
];
const COMPARING = 5;
const SHIFTING = 6;

/** A type with its arguments. */
export function typeName(r: Reader): TypeName {
  const { line } = r;
  const name = r.name("a type");
  return { name, args: r.is("<") ? templateList(r) : [], line };
}

function templateList(r: Reader): TypeName[] {
  r.expect("<");
  const args: TypeName[] = [];
  r.nested(() => {
    do {
      if (r.is(">") || r.is(">>")) break;
      args.push(
        r.here.kind === "number" ? { name: r.take().text, args: [], line: r.line } : typeName(r),
      );
    } while (r.accept(","));
  });
  r.closeTemplate();
  return args;
}

/** An expression. */
export const expression = (r: Reader): Syntax => r.nested(() => binary(r, 0));

function binary(r: Reader, level: number): Syntax {
  if (level === LEVELS.length) return unary(r);
  let left = binary(r, level + 1);
  for (let n = 0; LEVELS[level].some((op) => r.is(op)); n++) {
    if (n >= CHAIN) r.fail(`more than ${CHAIN} operators in a row`);
    const { line } = r;
    const op = r.take().text;
    if (n > 0 && level === COMPARING) r.fail("comparisons in a row need parentheses");
    const right = binary(r, level + 1);
    for (const side of [left, right]) checkMixing(level, op, side, line);
    left = { kind: "binary", op, left, right, line };
  }
  return left;
}

/** The mixtures of operators that WGSL has no order for. */
function checkMixing(level: number, op: string, side: Syntax, line: number): void {
  if (side.kind !== "binary") return;
  const inner = LEVELS.findIndex((ops) => ops.includes(side.op));
  const bits = level >= 2 && level <= 4;
  const bad = (level === 0 && inner === 1) || (bits && side.op !== op) ||
    (level === SHIFTING) || (level === COMPARING && inner < COMPARING);
  // Parentheses are kept as a unary node, so what arrives here stands without.
  if (bad) throw new WgslError(line, `"${side.op}" beside "${op}" needs parentheses`);
}

function unary(r: Reader): Syntax {
  const { line } = r;
  const op = ["-", "!", "~"].find((o) => r.is(o));
  if (op) {
    r.take();
    return { kind: "unary", op, of: r.nested(() => unary(r)), line };
  }
  if (r.is("&") || r.is("*")) r.fail("pointers are not supported by the CPU device");
  return postfix(r, primary(r));
}

function postfix(r: Reader, of: Syntax): Syntax {
  for (let n = 0;; n++) {
    if (n > CHAIN) r.fail(`more than ${CHAIN} indices in a row`);
    const { line } = r;
    if (r.accept("[")) {
      const at = expression(r);
      r.expect("]");
      of = { kind: "index", of, at, line };
    } else if (r.accept(".")) of = { kind: "member", of, name: r.name("a component"), line };
    else return of;
  }
}

function primary(r: Reader): Syntax {
  const { line } = r;
  if (r.accept("(")) {
    const of = expression(r);
    r.expect(")");
    return { kind: "unary", op: "(", of, line };
  }
  if (r.here.kind === "number") return { kind: "number", text: r.take().text, line };
  const name = r.name("an expression");
  const args = TEMPLATES.has(name) && r.is("<") ? templateList(r) : [];
  if (!r.is("(")) {
    if (args.length) r.fail(`expected "(" after a type, found "${r.here.text}"`);
    return { kind: "name", name, line };
  }
  return { kind: "call", callee: { name, args, line }, args: argumentList(r), line };
}

/** `(a, b, …)`. */
export function argumentList(r: Reader): Syntax[] {
  r.expect("(");
  const args: Syntax[] = [];
  while (!r.is(")")) {
    args.push(expression(r));
    if (!r.accept(",")) break;
  }
  r.expect(")");
  return args;
}
