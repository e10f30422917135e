/** A module as written → a checked one: declarations, statements, and the rules between them. */
import { refuseCall } from "./builtins.ts";
import { WgslError } from "./error.ts";
import { binary, check, type Named, type Names, typeOf } from "./check_expression.ts";
import { coerce, concrete } from "./fold.ts";
import { leaves, refuseRecursion } from "./flow.ts";
import { parse } from "./parse.ts";
import type { Attribute, Declaration, Statement, Syntax, TypeName } from "./syntax.ts";
import {
  type Buffer,
  type BuiltinInput,
  type Expr,
  type Func,
  type Program,
  same,
  showType,
  type Stmt,
  type Type,
  type Variable,
} from "./tree.ts";
import { type as T } from "./tree.ts";

const EXTENSIONS = new Set(["f16"]);
const INPUTS: Readonly<Record<BuiltinInput, Type>> = {
  workgroup_id: T("u32", 3),
  local_invocation_index: T("u32"),
  local_invocation_id: T("u32", 3),
  global_invocation_id: T("u32", 3),
  num_workgroups: T("u32", 3),
};

/**
 * Parses and checks a module.
 *
 * @throws WgslError with the line and the reason
 */
export function checked(text: string): Program {
  return new Checker(text).program();
}

type Of<K> = Extract<Declaration, { kind: K }>;

class Checker implements Names {
  readonly f16: boolean;
  readonly #scopes: Map<string, Named>[] = [new Map()];
  readonly #declarations: readonly Declaration[];
  readonly #buffers: Buffer[] = [];
  #function: Func | undefined;
  #loops = 0;
  /** Statements that may follow `continue`, where leaving is not allowed. */
  #continuing = false;

  constructor(text: string) {
    const module = parse(text);
    const unknown = module.enables.find((e) => !EXTENSIONS.has(e));
    if (unknown) {
      throw new WgslError(1, `the extension ${unknown} is not supported by the CPU device`);
    }
    this.f16 = module.enables.includes("f16");
    this.#declarations = module.declarations;
  }

  program(): Program {
    const functions: [Func, Of<"function">][] = [];
    for (const d of this.#declarations) {
      if (d.kind === "variable") this.#declare(d.name, this.#buffer(d), d.line);
      if (d.kind === "const") this.#declare(d.name, this.#constant(d), d.line);
      if (d.kind === "function") {
        const f = this.#signature(d);
        this.#declare(d.name, f, d.line);
        functions.push([f, d]);
      }
    }
    for (const [f, d] of functions) this.#body(f, d);
    refuseRecursion(functions.map(([f]) => f));
    return { buffers: this.#buffers, functions: functions.map(([f]) => f) };
  }

  find(name: string): Named | undefined {
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const found = this.#scopes[i].get(name);
      if (found) return found;
    }
  }

  called(target: Func): void {
    this.#function?.calls.add(target);
  }

  #declare(name: string, what: Named, line: number): void {
    const scope = this.#scopes.at(-1)!;
    if (scope.has(name)) throw new WgslError(line, `"${name}" is declared twice`);
    scope.set(name, what);
  }

  #type(t: TypeName): Type {
    const found = typeOf(t, this);
    if (found) return found;
    if (/^(atomic|array|mat\d|texture|ptr|sampler)/.test(t.name)) refuseCall(t.name, t.line);
    throw new WgslError(t.line, `there is no type "${t.name}"`);
  }

  #number(attributes: readonly Attribute[], name: string, line: number): number {
    const e = attributes.find((a) => a.name === name);
    const value = e?.args.length === 1 ? concrete(check(e.args[0], this), line) : undefined;
    if (value?.kind !== "const" || value.values[0] < 0) {
      throw new WgslError(line, `@${name} with a number is missing`);
    }
    return value.values[0];
  }

  #buffer(d: Of<"variable">): Buffer {
    const [space, access = "read"] = d.space;
    if (space !== "storage") {
      const what = space === "workgroup" ? "workgroup memory" : `var<${space ?? ""}>`;
      throw new WgslError(d.line, `${what} (${d.name}) is not supported by the CPU device`);
    }
    if (access !== "read" && access !== "read_write") {
      throw new WgslError(d.line, `there is no access "${access}"`);
    }
    if (d.type.name !== "array" || d.type.args.length !== 1) {
      throw new WgslError(d.line, `${d.name}: a storage buffer must be a runtime-sized array`);
    }
    const element = this.#type(d.type.args[0]);
    if (element.scalar === "bool") throw new WgslError(d.line, `${d.name}: a buffer holds no bool`);
    if (this.#number(d.attributes, "group", d.line) !== 0) {
      throw new WgslError(d.line, `${d.name}: the CPU device has bind group 0 only`);
    }
    const binding = this.#number(d.attributes, "binding", d.line);
    if (this.#buffers.some((b) => b.binding === binding)) {
      throw new WgslError(d.line, `binding ${binding} is declared twice`);
    }
    const writable = access === "read_write";
    const slot = this.#buffers.length;
    const buffer: Buffer = { kind: "buffer", name: d.name, binding, slot, element, writable };
    this.#buffers.push(buffer);
    return buffer;
  }

  #constant(d: { type?: TypeName; value: Syntax; line: number; name: string }): Expr {
    const value = check(d.value, this);
    const typed = d.type ? coerce(value, this.#type(d.type), d.line) : value;
    if (typed.kind !== "const") throw new WgslError(d.line, `${d.name} is not constant`);
    return typed;
  }

  #signature(d: Of<"function">): Func {
    const stage = d.attributes.find((a) => a.name === "vertex" || a.name === "fragment");
    if (stage) {
      throw new WgslError(d.line, `@${stage.name} shaders are not supported by the CPU device`);
    }
    const compute = d.attributes.some((a) => a.name === "compute");
    const parameters = d.parameters.map((p): Variable => ({
      kind: "variable",
      name: p.name,
      type: this.#type(p.type),
      assigned: false,
    }));
    const result = d.result && this.#type(d.result);
    if (compute && result) throw new WgslError(d.line, `${d.name}: an entry point returns nothing`);
    return {
      kind: "function",
      name: d.name,
      parameters,
      result,
      body: [],
      line: d.line,
      entry: compute ? this.#entry(d, parameters) : undefined,
      calls: new Set(),
    };
  }

  #entry(d: Of<"function">, parameters: readonly Variable[]): Func["entry"] {
    const size = d.attributes.find((a) => a.name === "workgroup_size");
    if (!size?.args.length || size.args.length > 3) {
      throw new WgslError(d.line, `${d.name}: @workgroup_size is missing`);
    }
    const extents = size.args.map((a) => {
      const e = concrete(check(a, this), size.line);
      if (e.kind !== "const" || !(e.values[0] >= 1)) {
        throw new WgslError(size.line, `${d.name}: a workgroup size must be a positive constant`);
      }
      return e.values[0];
    });
    const [x, y = 1, z = 1] = extents;
    const inputs = d.parameters.map((p, i): BuiltinInput => {
      const a = p.attributes.find((a) => a.name === "builtin")?.args[0];
      const name = a?.kind === "name" ? a.name : "";
      if (!Object.hasOwn(INPUTS, name)) {
        throw new WgslError(
          p.line,
          name
            ? `the builtin ${name} is not supported by the CPU device`
            : `${p.name}: a parameter of an entry point needs @builtin`,
        );
      }
      const wanted = INPUTS[name as BuiltinInput];
      if (!same(wanted, parameters[i].type)) {
        throw new WgslError(p.line, `${name} is ${showType(wanted)}`);
      }
      return name as BuiltinInput;
    });
    return { size: [x, y, z], inputs };
  }

  #body(f: Func, d: Of<"function">): void {
    this.#function = f;
    this.#scopes.push(new Map());
    f.parameters.forEach((p) => this.#declare(p.name, p, d.line));
    f.body = this.#statements(d.body);
    this.#scopes.pop();
    if (f.result && !leaves(f.body)) {
      throw new WgslError(d.line, `${f.name} may end without returning a value`);
    }
  }

  #block(body: readonly Statement[]): Stmt[] {
    this.#scopes.push(new Map());
    const done = this.#statements(body);
    this.#scopes.pop();
    return done;
  }

  #statements = (body: readonly Statement[]): Stmt[] => body.flatMap((s) => this.#statement(s));

  #test(e: Syntax): Expr {
    const test = check(e, this);
    if (!same(test.type, T("bool"))) {
      throw new WgslError(e.line, `a condition is a bool, not ${showType(test.type)}`);
    }
    return test;
  }

  #statement(s: Statement): Stmt[] {
    const { line } = s;
    switch (s.kind) {
      case "declare":
        return this.#local(s);
      case "assign":
        return [this.#assign(s)];
      case "call": {
        const value = check(s.call, this);
        return [{ kind: "evaluate", value }];
      }
      case "if":
        return [{
          kind: "if",
          test: this.#test(s.test),
          then: this.#block(s.then),
          otherwise: this.#block(s.otherwise),
        }];
      case "loop":
        return this.#loop(s);
      case "block":
        return [{ kind: "block", body: this.#block(s.body) }];
      case "break":
      case "continue":
        if (!this.#loops || this.#continuing) {
          throw new WgslError(line, `${s.kind} stands in no loop`);
        }
        return [{ kind: s.kind }];
      case "return": {
        const { result, name } = this.#function!;
        if (this.#continuing) throw new WgslError(line, "return inside continuing");
        if (!s.value && result) throw new WgslError(line, `${name} returns ${showType(result)}`);
        if (s.value && !result) throw new WgslError(line, `${name} returns nothing`);
        return [{ kind: "return", value: s.value && coerce(check(s.value, this), result!, line) }];
      }
    }
  }

  #local(s: Extract<Statement, { kind: "declare" }>): Stmt[] {
    const { line } = s;
    if (s.how === "const") {
      this.#declare(s.name, this.#constant({ ...s, value: s.value! }), line);
      return [];
    }
    const type = s.type && this.#type(s.type);
    const given = s.value && check(s.value, this);
    if (!given && !type) throw new WgslError(line, `${s.name} has neither a type nor a value`);
    if (given?.type.width === 0) {
      throw new WgslError(line, `${s.name}: the function returns nothing`);
    }
    const value: Expr = given
      ? type ? coerce(given, type, line) : concrete(given, line)
      : { kind: "const", type: type!, values: Array(type!.width).fill(0) };
    const variable: Variable = {
      kind: "variable",
      name: s.name,
      type: value.type,
      assigned: false,
      value: s.how === "let" ? value : undefined,
    };
    this.#declare(s.name, variable, line);
    return [{ kind: "declare", variable, value }];
  }

  #assign(s: Extract<Statement, { kind: "assign" }>): Stmt {
    const { line, op } = s;
    if (!s.to) return { kind: "evaluate", value: concrete(check(s.value, this), line) };
    const target = this.#target(s.to);
    const right = check(s.value, this);
    const value = coerce(op ? binary(op, target.now, right, line) : right, target.now.type, line);
    return target.write(value);
  }

  /** What may stand left of `=`: a variable, an element of a buffer, or a component of one of them. */
  #target(to: Syntax): { now: Expr; write: (value: Expr) => Stmt } {
    const { line } = to;
    const now = check(to, this);
    if (now.kind === "variable") {
      const variable = this.#writable(now.variable, line);
      return { now, write: (value) => ({ kind: "assign", variable, value }) };
    }
    if (now.kind === "load") {
      const { index } = now;
      const buffer = this.#written(now.buffer, line);
      return { now, write: (value) => ({ kind: "store", buffer, index, value }) };
    }
    const lane: Expr | undefined = now.kind === "lane"
      ? now.index
      : now.kind === "swizzle" && now.lanes.length === 1
      ? { kind: "const", type: T("u32"), values: now.lanes }
      : undefined;
    if (lane && (now.kind === "lane" || now.kind === "swizzle")) {
      const { of } = now;
      if (of.kind === "variable") {
        const variable = this.#writable(of.variable, line);
        return { now, write: (value) => ({ kind: "setLane", variable, lane, value }) };
      }
      if (of.kind === "load") {
        const { index } = of;
        const buffer = this.#written(of.buffer, line);
        return { now, write: (value) => ({ kind: "store", buffer, index, lane, value }) };
      }
    }
    throw new WgslError(line, "this cannot be assigned to");
  }

  #writable(v: Variable, line: number): Variable {
    if (v.value || this.#function!.parameters.includes(v)) {
      throw new WgslError(line, `"${v.name}" cannot be assigned to`);
    }
    v.assigned = true;
    return v;
  }

  #written(b: Buffer, line: number): Buffer {
    if (!b.writable) throw new WgslError(line, `the buffer ${b.name} is read only`);
    return b;
  }

  #loop(s: Extract<Statement, { kind: "loop" }>): Stmt[] {
    this.#scopes.push(new Map());
    const before = this.#statements(s.before);
    const test = s.test && this.#test(s.test);
    this.#loops++;
    const outer = this.#continuing;
    this.#continuing = false;
    this.#scopes.push(new Map());
    const body = this.#statements(s.body);
    this.#continuing = true;
    const update = this.#statements(s.update);
    const leave = s.leave && this.#test(s.leave);
    this.#scopes.pop();
    this.#continuing = outer;
    this.#loops--;
    this.#scopes.pop();
    return [...before, { kind: "loop", test, body, update, leave }];
  }
}
