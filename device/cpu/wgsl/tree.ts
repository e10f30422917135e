/** The checked tree: every expression has its type, every name is the variable it stands for, nothing is implied any more. */

/** What numbers are made of. `int` and `float` are WGSL's abstract numbers, which only constants have. */
export type Scalar = "f32" | "f16" | "i32" | "u32" | "bool" | "int" | "float";

/** A scalar (width 1) or a vector. */
export interface Type {
  readonly scalar: Scalar;
  readonly width: number;
}

/** A type; equal types are not the same object. */
export const type = (scalar: Scalar, width = 1): Type => ({ scalar, width });
/** Whether two types are one. */
export const same = (a: Type, b: Type): boolean => a.scalar === b.scalar && a.width === b.width;
/** A type as WGSL writes it. */
export const showType = ({ scalar, width }: Type): string => {
  const name = scalar === "int" || scalar === "float" ? `abstract ${scalar}` : scalar;
  return width === 1 ? name : `vec${width}<${name}>`;
};

/** A storage buffer: an array of `element`. */
export interface Buffer {
  readonly kind: "buffer";
  readonly name: string;
  readonly binding: number;
  /** Its place among the module's buffers. */
  readonly slot: number;
  readonly element: Type;
  readonly writable: boolean;
}

/** A variable inside a function. */
export interface Variable {
  readonly kind: "variable";
  readonly name: string;
  readonly type: Type;
  /** Whether it is assigned to after its declaration. */
  assigned: boolean;
  /** What a `let` stands for. */
  readonly value?: Expr;
}

/** What an invocation is told. */
export type BuiltinInput =
  | "workgroup_id"
  | "local_invocation_index"
  | "local_invocation_id"
  | "global_invocation_id"
  | "num_workgroups";

/** A function. */
export interface Func {
  readonly kind: "function";
  readonly name: string;
  readonly parameters: readonly Variable[];
  readonly result?: Type;
  body: readonly Stmt[];
  readonly line: number;
  /** Of an entry point: its workgroup, and what each parameter is. */
  readonly entry?: {
    readonly size: readonly [number, number, number];
    readonly inputs: readonly BuiltinInput[];
  };
  /** Functions that it calls. */
  readonly calls: Set<Func>;
}

/** One element of a buffer. Whether its index needs a test is found out for each place. */
export interface Access {
  readonly kind: "load";
  readonly type: Type;
  readonly buffer: Buffer;
  readonly index: Expr;
}

/** An expression. */
export type Expr =
  | Access
  | { readonly kind: "const"; readonly type: Type; readonly values: readonly number[] }
  | { readonly kind: "variable"; readonly type: Type; readonly variable: Variable }
  | {
    readonly kind: "unary";
    readonly type: Type;
    readonly op: "-" | "!" | "~";
    readonly of: Expr;
  }
  | {
    readonly kind: "binary";
    readonly type: Type;
    readonly op: string;
    readonly left: Expr;
    readonly right: Expr;
  }
  /** The same number in every lane. */
  | { readonly kind: "splat"; readonly type: Type; readonly of: Expr }
  /** A vector from scalars and vectors. */
  | { readonly kind: "make"; readonly type: Type; readonly parts: readonly Expr[] }
  | {
    readonly kind: "swizzle";
    readonly type: Type;
    readonly of: Expr;
    readonly lanes: readonly number[];
  }
  /** A component whose number is computed. */
  | { readonly kind: "lane"; readonly type: Type; readonly of: Expr; readonly index: Expr }
  /** Between numbers, by value; and by bits. */
  | { readonly kind: "convert" | "bitcast"; readonly type: Type; readonly of: Expr }
  | {
    readonly kind: "call";
    readonly type: Type;
    readonly name: string;
    readonly args: readonly Expr[];
  }
  | {
    readonly kind: "invoke";
    readonly type: Type;
    readonly target: Func;
    readonly args: readonly Expr[];
  };

/** A statement that writes to a buffer: a whole element, or one of its components. */
export interface Store {
  readonly kind: "store";
  readonly buffer: Buffer;
  readonly index: Expr;
  readonly lane?: Expr;
  readonly value: Expr;
}

/** A loop: `test`, `body`, `update`, and again unless `leave`. */
export interface Loop {
  readonly kind: "loop";
  readonly test?: Expr;
  readonly body: readonly Stmt[];
  readonly update: readonly Stmt[];
  readonly leave?: Expr;
}

/** A statement. */
export type Stmt =
  | Store
  | Loop
  | { readonly kind: "declare"; readonly variable: Variable; readonly value: Expr }
  | { readonly kind: "assign"; readonly variable: Variable; readonly value: Expr }
  | {
    readonly kind: "setLane";
    readonly variable: Variable;
    readonly lane: Expr;
    readonly value: Expr;
  }
  | { readonly kind: "evaluate"; readonly value: Expr }
  | {
    readonly kind: "if";
    readonly test: Expr;
    readonly then: readonly Stmt[];
    readonly otherwise: readonly Stmt[];
  }
  | { readonly kind: "block"; readonly body: readonly Stmt[] }
  | { readonly kind: "break" | "continue" }
  | { readonly kind: "return"; readonly value?: Expr };

/** A checked module. */
export interface Program {
  readonly buffers: readonly Buffer[];
  readonly functions: readonly Func[];
}

/** Bytes from one element of a buffer to the next: a vec3 takes the room of a vec4. */
export function strideOf({ scalar, width }: Type): number {
  return (scalar === "f16" ? 2 : 4) * (width === 3 ? 4 : width);
}

/** The expressions directly under one. */
export function partsOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "const":
    case "variable":
      return [];
    case "load":
      return [e.index];
    case "binary":
      return [e.left, e.right];
    case "make":
      return e.parts;
    case "lane":
      return [e.of, e.index];
    case "call":
    case "invoke":
      return e.args;
    default:
      return [e.of];
  }
}
