/** WGSL text → syntax tree: the part of the language that kernels are written in. What is left out is refused by name. */
import { argumentList, expression, typeName } from "./parse_expression.ts";
import { Reader } from "./reader.ts";
import type { Attribute, Declaration, Module, Parameter, Statement } from "./syntax.ts";

/** Words that begin what this device has not. */
const REFUSED: Readonly<Record<string, string>> = {
  struct: "structures",
  alias: "type aliases",
  override: "override constants",
  switch: "switch",
  discard: "discard",
  const_assert: "const_assert",
  requires: "requires directives",
  diagnostic: "diagnostic directives",
};

const COMPOUND = ["+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="];

/** Parses a module. */
export function parse(text: string): Module {
  const r = new Reader(text);
  const enables: string[] = [];
  while (r.accept("enable")) {
    do enables.push(r.name("the name of an extension")); while (r.accept(","));
    r.expect(";");
  }
  const declarations: Declaration[] = [];
  while (r.here.kind !== "end") if (!r.accept(";")) declarations.push(declaration(r));
  return { enables, declarations };
}

function refuse(r: Reader): void {
  const { kind, text } = r.here;
  if (kind === "name" && Object.hasOwn(REFUSED, text)) {
    r.fail(`${REFUSED[text]} are not supported by the CPU device`);
  }
}

function attributes(r: Reader): Attribute[] {
  const found: Attribute[] = [];
  while (r.is("@")) {
    const { line } = r;
    r.take();
    const name = r.name("an attribute");
    found.push({ name, args: r.is("(") ? argumentList(r) : [], line });
  }
  return found;
}

function declaration(r: Reader): Declaration {
  const found = attributes(r);
  const { line } = r;
  refuse(r);
  if (r.accept("fn")) return { ...aFunction(r), attributes: found, line };
  if (r.accept("const")) {
    const name = r.name("a name");
    const type = r.accept(":") ? typeName(r) : undefined;
    r.expect("=");
    const value = expression(r);
    r.expect(";");
    return { kind: "const", name, type, value, attributes: found, line };
  }
  if (r.accept("var")) {
    const space: string[] = [];
    if (r.accept("<")) {
      do space.push(r.name("an address space")); while (r.accept(","));
      r.closeTemplate();
    }
    const name = r.name("a name");
    r.expect(":");
    const type = typeName(r);
    if (r.is("=")) r.fail("variables of a module with a value are not supported by the CPU device");
    r.expect(";");
    return { kind: "variable", name, space, type, attributes: found, line };
  }
  return r.fail(`expected a declaration, found "${r.here.text}"`);
}

function aFunction(r: Reader) {
  const name = r.name("a name");
  const parameters: Parameter[] = [];
  r.expect("(");
  while (!r.is(")")) {
    const found = attributes(r);
    const { line } = r;
    const name = r.name("a parameter");
    r.expect(":");
    parameters.push({ name, type: typeName(r), attributes: found, line });
    if (!r.accept(",")) break;
  }
  r.expect(")");
  let result = undefined;
  if (r.accept("->")) {
    attributes(r);
    result = typeName(r);
  }
  return { kind: "function" as const, name, parameters, result, body: block(r) };
}

function block(r: Reader): Statement[] {
  return r.nested(() => {
    r.expect("{");
    const body: Statement[] = [];
    while (!r.is("}")) {
      if (r.here.kind === "end") r.fail('expected "}", found the end of the text');
      if (!r.accept(";")) body.push(statement(r));
    }
    r.expect("}");
    return body;
  });
}

function statement(r: Reader): Statement {
  const { line } = r;
  refuse(r);
  if (r.is("{")) return { kind: "block", body: block(r), line };
  if (r.accept("if")) return branch(r, line);
  if (r.accept("for")) return counting(r, line);
  if (r.accept("while")) {
    const test = expression(r);
    return { kind: "loop", before: [], test, body: block(r), update: [], line };
  }
  if (r.accept("loop")) return endless(r, line);
  const simple = plain(r, line);
  r.expect(";");
  return simple;
}

/** The statements that end in a semicolon. */
function plain(r: Reader, line: number): Statement {
  if (r.accept("break")) {
    if (r.is("if")) r.fail("break if stands only at the end of continuing");
    return { kind: "break", line };
  }
  if (r.accept("continue")) return { kind: "continue", line };
  if (r.accept("return")) {
    return { kind: "return", value: r.is(";") ? undefined : expression(r), line };
  }
  for (const how of ["let", "var", "const"] as const) {
    if (!r.accept(how)) continue;
    if (r.accept("<")) {
      const space = r.name("an address space");
      if (space !== "function") r.fail(`var<${space}> inside a function`);
      r.closeTemplate();
    }
    const name = r.name("a name");
    const type = r.accept(":") ? typeName(r) : undefined;
    const value = r.accept("=") ? expression(r) : undefined;
    if (!value && how !== "var") r.fail(`${how} ${name} has no value`);
    return { kind: "declare", how, name, type, value, line };
  }
  return changing(r, line);
}

/** Assignments, `++`, `--`, and calls. */
function changing(r: Reader, line: number): Statement {
  if (r.is("_") && r.is("=", 1)) {
    r.take();
    r.take();
    return { kind: "assign", value: expression(r), line };
  }
  const to = expression(r);
  if (r.accept("=")) return { kind: "assign", to, value: expression(r), line };
  const compound = COMPOUND.find((c) => r.accept(c));
  if (compound) {
    return { kind: "assign", to, op: compound.slice(0, -1), value: expression(r), line };
  }
  const step = ["++", "--"].find((s) => r.accept(s));
  if (step) {
    return { kind: "assign", to, op: step[0], value: { kind: "number", text: "1", line }, line };
  }
  if (to.kind !== "call") r.fail(`expected an assignment, found "${r.here.text}"`);
  return { kind: "call", call: to, line };
}

function branch(r: Reader, line: number): Statement {
  const test = expression(r);
  const then = block(r);
  let otherwise: Statement[] = [];
  if (r.is("else")) {
    const at = r.take().line;
    otherwise = r.nested(() => r.accept("if") ? [branch(r, at)] : block(r));
  }
  return { kind: "if", test, then, otherwise, line };
}

function counting(r: Reader, line: number): Statement {
  r.expect("(");
  const before = r.is(";") ? [] : [plain(r, r.line)];
  r.expect(";");
  const test = r.is(";") ? undefined : expression(r);
  r.expect(";");
  const update = r.is(")") ? [] : [changing(r, r.line)];
  r.expect(")");
  return { kind: "loop", before, test, body: block(r), update, line };
}

function endless(r: Reader, line: number): Statement {
  const body: Statement[] = [];
  let update: Statement[] = [];
  let leave = undefined;
  r.nested(() => {
    r.expect("{");
    while (!r.is("}") && !r.is("continuing")) {
      if (r.here.kind === "end") r.fail('expected "}", found the end of the text');
      if (!r.accept(";")) body.push(statement(r));
    }
    if (r.accept("continuing")) {
      r.expect("{");
      update = [];
      while (!r.is("}")) {
        if (r.here.kind === "end") r.fail('expected "}", found the end of the text');
        if (r.is("break") && r.is("if", 1)) {
          r.take();
          r.take();
          leave = expression(r);
          r.expect(";");
          break;
        }
        if (!r.accept(";")) update.push(statement(r));
      }
      r.expect("}");
    }
    r.expect("}");
  });
  return { kind: "loop", before: [], body, update, leave, line };
}
