/** The syntax tree as it is written, before anything is looked up. */

/** A type as written: `f32`, `vec4<f32>`, `array<vec2<u32>>`. */
export interface TypeName {
  readonly name: string;
  readonly args: readonly TypeName[];
  readonly line: number;
}

/** An expression. */
export type Syntax =
  & { readonly line: number }
  & (
    | { readonly kind: "number"; readonly text: string }
    | { readonly kind: "name"; readonly name: string }
    | { readonly kind: "unary"; readonly op: string; readonly of: Syntax }
    | {
      readonly kind: "binary";
      readonly op: string;
      readonly left: Syntax;
      readonly right: Syntax;
    }
    | { readonly kind: "call"; readonly callee: TypeName; readonly args: readonly Syntax[] }
    | { readonly kind: "index"; readonly of: Syntax; readonly at: Syntax }
    | { readonly kind: "member"; readonly of: Syntax; readonly name: string }
  );

/** A statement. */
export type Statement =
  & { readonly line: number }
  & (
    | {
      readonly kind: "declare";
      readonly how: "let" | "var" | "const";
      readonly name: string;
      readonly type?: TypeName;
      readonly value?: Syntax;
    }
    | {
      readonly kind: "assign";
      /** Undefined for `_ = …`. */
      readonly to?: Syntax;
      /** The operator of a compound assignment. */
      readonly op?: string;
      readonly value: Syntax;
    }
    | { readonly kind: "call"; readonly call: Syntax }
    | {
      readonly kind: "if";
      readonly test: Syntax;
      readonly then: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
    | {
      readonly kind: "loop";
      readonly before: readonly Statement[];
      readonly test?: Syntax;
      readonly body: readonly Statement[];
      /** Done after the body and after `continue`; `leave` is the test of `break if`. */
      readonly update: readonly Statement[];
      readonly leave?: Syntax;
    }
    | { readonly kind: "block"; readonly body: readonly Statement[] }
    | { readonly kind: "break" }
    | { readonly kind: "continue" }
    | { readonly kind: "return"; readonly value?: Syntax }
  );

/** `@name(args)`. */
export interface Attribute {
  readonly name: string;
  readonly args: readonly Syntax[];
  readonly line: number;
}

/** A parameter of a function. */
export interface Parameter {
  readonly name: string;
  readonly type: TypeName;
  readonly attributes: readonly Attribute[];
  readonly line: number;
}

/** What stands at module scope. */
export type Declaration =
  & { readonly line: number; readonly attributes: readonly Attribute[] }
  & (
    | {
      readonly kind: "function";
      readonly name: string;
      readonly parameters: readonly Parameter[];
      readonly result?: TypeName;
      readonly body: readonly Statement[];
    }
    | {
      readonly kind: "variable";
      readonly name: string;
      readonly space: readonly string[];
      readonly type: TypeName;
    }
    | {
      readonly kind: "const";
      readonly name: string;
      readonly type?: TypeName;
      readonly value: Syntax;
    }
  );

/** A module as written. */
export interface Module {
  readonly enables: readonly string[];
  readonly declarations: readonly Declaration[];
}
