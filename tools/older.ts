/**
 * What the bundle takes in place of names that runtimes of the last years lack (Node 20 and 22, browsers before 2025). Nothing
 * is put into their global scope. The sources, which only Deno and bundlers read, use the names as they are.
 */
const here = globalThis as { Float16Array?: unknown };

/** Stands for the array of f16 where there is none: tensors of f16 live on the device there, and cannot leave it. */
class Missing {
  static readonly BYTES_PER_ELEMENT = 2;
  constructor() {
    throw new TypeError(
      "this runtime has no Float16Array, so f16 values cannot be on the host: cast to f32 before reading, or use " +
        "Deno, Node 24 or newer, or a browser of 2025 or newer",
    );
  }
}

const half = here.Float16Array ?? Missing;
const dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

export { asyncDispose as "Symbol.asyncDispose", dispose as "Symbol.dispose", half as Float16Array };
