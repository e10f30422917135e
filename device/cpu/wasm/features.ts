/** What this engine's WebAssembly has beyond the standard's core, asked once by validating a few bytes. */
import { Code } from "./code.ts";
import { moduleBytes } from "./module.ts";

/** The engine's extensions that kernels use. */
export interface Features {
  /** Multiply-add in one instruction. */
  readonly fused: boolean;
  /** Addresses of 64 bits. */
  readonly wide: boolean;
}

let known: Features | undefined;

/** Asks the engine. */
export function features(): Features {
  if (known) return known;
  const takes = (f: (c: Code) => void, wide = false): boolean => {
    const code = new Code(wide ? ["i64"] : ["v128"], ["v128"]);
    f(code);
    return WebAssembly.validate(moduleBytes([code], 0, { shared: false, wide, pages: 1 }));
  };
  known = {
    fused: takes((c) => {
      for (let i = 0; i < 3; i++) c.get(0);
      c.op("f32x4.relaxed_madd");
    }),
    wide: takes((c) => {
      c.get(0);
      c.memory("v128.load");
    }, true),
  };
  return known;
}
