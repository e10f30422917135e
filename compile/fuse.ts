/**
 * Tape → kernels. Walks the tape once, keeping for every tensor the expression that would produce it, and decides where
 * values must really be written: results, inputs of kernels, values that several consumers would otherwise recompute.
 * Elementwise work behind a kernel moves into its epilogue; elementwise kernels that feed each other become one with
 * several outputs.
 */
import { type Loop, type Node, tapeOf, type Tensor } from "../tensor/tensor.ts";
import { checkCountable, type Shape, sizeOf } from "../tensor/shape.ts";
import { isContiguous } from "../tensor/view.ts";
import type { ReduceAttrs } from "../ops/broadcast.ts";
import {
  type Expr,
  type Load,
  loadsOf,
  loadWhole,
  operationsOf,
  reshaped,
  rewrite,
  wholeBuffer,
  withView,
} from "./expr.ts";
import type { FusedEpilogue } from "./elementwise.ts";
import { innermost } from "./emit.ts";
import { simplify } from "./simplify.ts";

/** One kernel to be: what it computes, in terms of written tensors. */
export type Step =
  | { kind: "map"; shape: Shape; outputs: Tensor[]; exprs: Expr[] }
  | { kind: "reduce"; node: Node<ReduceAttrs>; expr: Expr; outputs: Tensor[] }
  | { kind: "kernel"; node: Node; inputs: Tensor[]; outputs: Tensor[]; epilogue?: FusedEpilogue }
  | LoopStep;

/** A loop to be: its body as a program of its own, and which stacks it gives. */
interface LoopStep {
  kind: "loop";
  node: Node;
  inputs: Tensor[];
  outputs: Tensor[];
  loop: Loop;
  /** Its results are the carries and what {@linkcode given} names. */
  body: FusedProgram;
  /** Outputs that stack what the body gives at each turn. */
  given: { result: number; output: Tensor }[];
  /** Outputs that stack carries as they were before each turn. */
  before: { carry: number; output: Tensor }[];
}

/** The steps in execution order, and for each result the written tensor that holds it. */
export interface FusedProgram {
  readonly steps: Step[];
  readonly results: Tensor[];
  /** What has to be uploaded before the program runs, that of loops' bodies too. */
  readonly constants: Node[];
}

/** Which buffers a step reads. */
export function readsOf(step: Step): Tensor[] {
  const loads = step.kind === "map" ? step.exprs : step.kind === "reduce" ? [step.expr] : [];
  const own = loadsOf(loads).map((l) => l.tensor);
  if (step.kind === "loop") return [...new Set(step.inputs)];
  if (step.kind !== "kernel") return [...new Set(own)];
  const extra = step.epilogue ? loadsOf([step.epilogue.expr]).map((l) => l.tensor) : [];
  return [...new Set([...step.inputs, ...extra])];
}

/** Options of {@linkcode fuse}. */
export interface FuseOptions {
  /** Most storage buffers that one kernel may bind. */
  readonly maxBuffers: number;
  /** In how many buffers a tensor is bound: several, where it is too large for one. */
  readonly buffersOf: (t: Tensor) => number;
  /** When false, every op is a kernel of its own: the reference that fused programs are compared with. */
  readonly enabled: boolean;
}

/** Fuses a tape (in order, already simplified) whose results are `results`. */
export function fuse(
  tape: readonly Node[],
  results: readonly Tensor[],
  options: FuseOptions,
): FusedProgram {
  for (const { op, outputs } of tape) outputs.forEach((t) => checkCountable(op.name, t.spec));
  const f = new Fuser(tape, results, options);
  return f.run(tape, results);
}

/**
 * Most elementwise operations of one kernel. Longer chains are cut: what walks over expressions calls itself once for each
 * link, and drivers take more than in proportion for long kernels.
 */
const LONGEST = 256;

/** Ops whose result is not computed of its input everywhere: padding must not be computed with. */
const PADDING = ["pad", "padWith"];

class Fuser {
  /** In execution order. */
  readonly #steps = new Map<Step, number>();
  /** Steps by what they read. */
  readonly #readers = new Map<Tensor, Set<Step>>();
  /** For each expression a number that its operations do not exceed. */
  readonly #lengths = new WeakMap<Expr, number>();
  #emitted = 0;
  readonly #exprs = new Map<Tensor, Expr>();
  readonly #uses = new Map<Tensor, number>();
  readonly #producer = new Map<Tensor, Step>();

  readonly #consumers = new Map<Tensor, Node[]>();
  readonly #results: ReadonlySet<Tensor>;

  constructor(tape: readonly Node[], results: readonly Tensor[], readonly options: FuseOptions) {
    this.#results = new Set(results);
    const use = (t: Tensor) => this.#uses.set(t, (this.#uses.get(t) ?? 0) + 1);
    for (const node of tape) {
      for (const t of new Set(node.inputs)) {
        use(t);
        const list = this.#consumers.get(t);
        if (list) list.push(node);
        else this.#consumers.set(t, [node]);
      }
    }
    results.forEach(use);
  }

  run(tape: readonly Node[], results: readonly Tensor[]): FusedProgram {
    for (const node of tape) this.#visit(node);
    const written = results.map((t) => this.#written(t));
    const steps = [...this.#steps.keys()];
    const inner = steps.flatMap((s) => s.kind === "loop" ? s.body.constants : []);
    const own = tape.filter((n) => n.op.name === "constant");
    return { steps, results: written, constants: [...new Set([...own, ...inner])] };
  }

  #visit(node: Node): void {
    const { lowering } = node.op;
    const [out] = node.outputs;
    switch (lowering.kind) {
      case "leaf":
        if (node.op.name === "literal") {
          const { value } = node.attrs as { value: number };
          this.#exprs.set(out, { kind: "literal", value, dtype: out.dtype });
        } else this.#exprs.set(out, loadWhole(out, out.shape));
        return;
      case "alias":
        return node.outputs.forEach((o, i) => this.#alias(node.inputs[i], o));
      case "view": {
        const x = node.inputs[0];
        const change = (e: Expr) => withView(e, (v) => lowering.view(v, node.attrs));
        const e = this.#exprs.get(x)!;
        // Repeating a computed value would compute it once per copy; padding must not be computed with.
        const direct = e.kind === "load" ||
          (!PADDING.includes(node.op.name) &&
            (e.kind === "literal" || sizeOf(out.shape) <= sizeOf(x.shape)));
        this.#exprs.set(out, (direct ? change(e) : undefined) ?? change(this.#write(x))!);
        break;
      }
      case "map":
        this.#map(node);
        break;
      case "reduce": {
        let expr = this.#exprs.get(node.inputs[0])!;
        if (expr.kind !== "load" && !this.options.enabled) expr = this.#write(node.inputs[0]);
        expr = this.#limit(expr, node.inputs[0]);
        if (expr.kind === "literal") expr = this.#write(node.inputs[0]);
        const step: Step = {
          kind: "reduce",
          node: node as Node<ReduceAttrs>,
          expr,
          outputs: [out],
        };
        return this.#emit(step);
      }
      case "loop":
        return this.#emit(this.#loop(node, lowering.loop(node.attrs)));
      case "kernel": {
        const inputs = node.inputs.map((t) => this.#written(t));
        return this.#emit({ kind: "kernel", node, inputs, outputs: [...node.outputs] });
      }
    }
    if (!this.options.enabled && lowering.kind === "map") this.#write(out);
  }

  /** The body becomes a program of its own; what nothing uses of its results is not computed. */
  #loop(node: Node, loop: Loop): LoopStep {
    const { carries, body: { results } } = loop;
    const used = (t: Tensor) => (this.#uses.get(t) ?? 0) > 0;
    const given = node.outputs.slice(carries, results.length).flatMap((output, i) =>
      used(output) ? [{ output, made: results[carries + i] }] : []
    );
    const before = node.outputs.slice(results.length).flatMap((output, carry) =>
      used(output) ? [{ output, carry }] : []
    );
    const made = simplify([...results.slice(0, carries), ...given.map((r) => r.made)]);
    return {
      kind: "loop",
      node,
      inputs: node.inputs.map((t) => this.#written(t)),
      outputs: [...node.outputs.slice(0, carries), ...[...given, ...before].map((s) => s.output)],
      loop,
      body: fuse(tapeOf(made), made, this.options),
      given: given.map(({ output }, i) => ({ result: carries + i, output })),
      before,
    };
  }

  #alias(x: Tensor, out: Tensor): void {
    const e = this.#exprs.get(x)!;
    const moved = e.kind === "literal" ? e : reshaped(e, out.shape);
    this.#exprs.set(out, moved ?? reshaped(this.#write(x), out.shape)!);
  }

  #map(node: Node): void {
    const [out] = node.outputs;
    let args = node.inputs.map((t) => this.#exprs.get(t)!);
    /** Writes the operand that has most of something, if any is computed at all. */
    const cut = (most: (e: Expr) => number): boolean => {
      const sizes = args.map((a) => a.kind === "map" ? most(a) : -1);
      const i = sizes.indexOf(Math.max(...sizes));
      if (!(sizes[i] >= 0)) return false;
      this.#write(node.inputs[i]);
      args = node.inputs.map((t) => this.#exprs.get(t)!);
      return true;
    };
    // Too many buffers for one kernel, or too much work.
    const own = this.#buffers([out]);
    while (this.#reads(args) + own > this.options.maxBuffers && cut((e) => this.#reads([e])));
    while (this.#length(args) >= LONGEST && cut((e) => this.#length([e])));
    const expr: Expr = { kind: "map", node, args };
    this.#lengths.set(expr, this.#length(args) + 1);
    this.#exprs.set(out, expr);
    const shared = (this.#uses.get(out) ?? 0) > 1;
    if (shared && (operationsOf([expr]).length > 2 || loadsOf([expr]).length > 1)) this.#write(out);
  }

  /** How many operations these expressions come to: exactly so where that might be too many. */
  #length(roots: readonly Expr[]): number {
    const most = roots.reduce(
      (n, e) => n + (e.kind === "map" ? this.#lengths.get(e) ?? LONGEST : 0),
      0,
    );
    return most < LONGEST ? most : operationsOf(roots).length;
  }

  /** Writes an expression out when it reads more buffers than a reduction can bind beside its own. */
  #limit(expr: Expr, t: Tensor): Expr {
    return this.#reads([expr]) + 3 > this.options.maxBuffers ? this.#write(t) : expr;
  }

  /** How many buffers a kernel binds of these tensors. */
  #buffers(tensors: readonly Tensor[]): number {
    return tensors.reduce((n, t) => n + this.options.buffersOf(t), 0);
  }

  /** The same of what expressions read, each way of reading one counted by itself. */
  #reads(roots: readonly Expr[]): number {
    return this.#buffers(loadsOf(roots).map((l) => l.tensor));
  }

  /** The buffer that holds `t` from front to back. */
  #written(t: Tensor): Tensor {
    const e = this.#exprs.get(t)!;
    return wholeBuffer(e) ?? (this.#write(t) as Load).tensor;
  }

  /** Makes sure that `t` is computed into a buffer of its own, and gives the expression that reads it. */
  #write(t: Tensor): Expr {
    const e = this.#exprs.get(t)!;
    if (wholeBuffer(e)) return e;
    const load = loadWhole(t, t.shape);
    this.#exprs.set(t, load);
    if (!this.options.enabled || !(this.#intoEpilogue(t, e) || this.#intoMap(t, e))) {
      this.#emit({ kind: "map", shape: t.shape, outputs: [t], exprs: [e] });
    }
    return load;
  }

  #emit(step: Step): void {
    this.#steps.set(step, this.#emitted++);
    for (const t of readsOf(step)) {
      const readers = this.#readers.get(t);
      if (readers) readers.add(step);
      else this.#readers.set(t, new Set([step]));
    }
    for (const t of step.outputs) {
      this.#producer.set(t, step);
      if (!this.#exprs.has(t) || step.kind !== "map") this.#exprs.set(t, loadWhole(t, t.shape));
    }
  }

  #remove(step: Step): void {
    this.#steps.delete(step);
    for (const t of readsOf(step)) this.#readers.get(t)?.delete(step);
  }

  /** Whether any step after `step` reads what it writes (so that it can't be moved to the end). */
  #readLater(step: Step): boolean {
    const at = this.#steps.get(step)!;
    return step.outputs.some((t) =>
      [...this.#readers.get(t) ?? []].some((reader) => this.#steps.get(reader)! > at)
    );
  }

  /** Fuses the expression of `t` behind a kernel whose output nothing else reads. */
  #intoEpilogue(t: Tensor, e: Expr): boolean {
    const loads = loadsOf([e]);
    for (const { tensor: g } of loads) {
      const step = this.#producer.get(g);
      if (step?.kind !== "kernel" || step.epilogue || step.outputs[0] !== g) continue;
      const { lowering } = step.node.op;
      if (lowering.kind !== "kernel" || !lowering.epilogue) continue;
      const inOrder = loads.every((l) => l.tensor !== g || isContiguous(l.view));
      if (g.size !== t.size || !inOrder || !this.#allPathsEndIn(g, t)) continue;
      if (this.#heldBehind(t, g)) continue;
      const bound = this.#buffers([...step.inputs, ...step.outputs]) + this.#reads([e]);
      if (bound > this.options.maxBuffers) continue;
      if (this.#readLater(step)) continue;
      const hole: Expr = { kind: "hole", dtype: g.dtype };
      const expr = rewrite(e, (l) => l.tensor === g ? hole : l)!;
      // The kernel stores vectors along its own innermost axis; the fused work must be able to follow.
      if (g.shape.at(-1)! % 4 === 0 && innermost(t.shape, [expr]) % 4 !== 0) continue;
      this.#remove(step);
      this.#emit({
        ...step,
        outputs: [t, ...step.outputs.slice(1)],
        epilogue: { shape: t.shape, expr, output: t },
      });
      return true;
    }
    return false;
  }

  /** Whether something that uses `t` has taken over the expression by which it reads `g`, and is to be written yet. */
  #heldBehind(t: Tensor, g: Tensor): boolean {
    return (this.#consumers.get(t) ?? []).some(({ outputs }) =>
      outputs.some((o) => {
        const e = this.#producer.has(o) ? undefined : this.#exprs.get(o);
        return e !== undefined && loadsOf([e]).some((l) => l.tensor === g);
      })
    );
  }

  /** Whether every use of `g`, followed through work that is not written anywhere, ends in the value of `t`. */
  #allPathsEndIn(g: Tensor, t: Tensor): boolean {
    const seen = new Set([g]);
    for (const at of seen) {
      if (this.#results.has(at)) return false;
      for (const node of this.#consumers.get(at) ?? []) {
        if (node.outputs[0] === t) continue;
        const { kind } = node.op.lowering;
        // Nothing that was made after `t` leads to it.
        if (kind === "kernel" || kind === "reduce" || kind === "loop" || node.id > t.node.id) {
          return false;
        }
        for (const o of node.outputs) {
          if (this.#producer.has(o)) return false;
          seen.add(o);
        }
      }
    }
    return true;
  }

  /** Merges into one kernel the elementwise kernels that this expression reads element by element. */
  #intoMap(t: Tensor, e: Expr): boolean {
    const merged: Extract<Step, { kind: "map" }>[] = [];
    for (const load of loadsOf([e])) {
      const step = this.#producer.get(load.tensor);
      if (step?.kind !== "map" || merged.includes(step) || sizeOf(step.shape) !== t.size) continue;
      if (!isContiguous(load.view) || this.#readLater(step)) continue;
      const outputs = [t, ...[...merged, step].flatMap((s) => s.outputs)];
      const reads = new Set(
        [...merged, step].flatMap(readsOf).concat(loadsOf([e]).map((l) => l.tensor)),
      );
      if (this.#buffers([...outputs, ...reads]) > this.options.maxBuffers) continue;
      const work = [e, ...merged.flatMap((s) => s.exprs), ...step.exprs];
      if (this.#length(work) > LONGEST) continue;
      merged.push(step);
    }
    const parts = merged.map((s) => ({ s, exprs: s.exprs.map((x) => reshaped(x, t.shape)) }))
      .filter((p) => p.exprs.every((x) => x !== undefined));
    if (!parts.length) return false;
    const inline = new Map<Tensor, Expr>();
    for (const { s, exprs } of parts) s.outputs.forEach((o, i) => inline.set(o, exprs[i]!));
    const expr = rewrite(e, (l) => isContiguous(l.view) ? inline.get(l.tensor) ?? l : l)!;
    // A value that is also read out of order cannot be taken from the kernel that is writing it.
    if (loadsOf([expr]).some((l) => inline.has(l.tensor))) return false;
    parts.forEach((p) => this.#remove(p.s));
    this.#emit({
      kind: "map",
      shape: t.shape,
      outputs: [...parts.flatMap((p) => p.s.outputs), t],
      exprs: [...parts.flatMap((p) => p.exprs as Expr[]), expr],
    });
    return true;
  }
}
