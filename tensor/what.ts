/**
 * Any value in a few words, for messages: a user who passed the wrong thing sees what it was, and, where it is a thing
 * that people pass by mistake, what is missing from it.
 */
import { show, type Spec } from "./shape.ts";

/** `the number 3`, `undefined`, `a list of 2 lists`, `a promise (await it)`, `the tensor f32[2,3]`. */
export function what(x: unknown): string {
  if (x === undefined || x === null) return String(x);
  switch (typeof x) {
    case "string":
      return `the string ${JSON.stringify(x.length > 40 ? `${x.slice(0, 40)}…` : x)}`;
    case "number":
      return `the number ${Object.is(x, -0) ? "-0" : x}`;
    case "bigint":
      return `the bigint ${x}n`;
    case "function":
      return x.name ? `the function ${x.name}` : "a function";
    case "object":
      return ofObject(x);
    default:
      return String(x);
  }
}

function ofObject(x: object): string {
  if (Array.isArray(x)) {
    const first = x[0] === null || x[0] === undefined ? "value" : nameOf(x[0]);
    return x.length ? `a list of ${x.length} ${first}${x.length > 1 ? "s" : ""}` : "an empty list";
  }
  if (looksLikeTensor(x)) return `the tensor ${show(x.spec)}`;
  if (typeof (x as { then?: unknown }).then === "function") return "a promise (await it)";
  if (ArrayBuffer.isView(x)) {
    const { length } = x as unknown as ArrayLike<number>;
    return `a ${nameOf(x)}${length === undefined ? "" : ` of ${length}`}`;
  }
  const name = nameOf(x);
  if (name !== "object") return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
  const keys = Object.keys(x);
  if (!keys.length) return "an empty object";
  const shown = keys.slice(0, 4).join(", ");
  return `an object with ${shown}${keys.length > 4 ? ", …" : ""}`;
}

/** What one of a list is called: its class, or the type of a plain value. */
function nameOf(x: unknown): string {
  if (Array.isArray(x)) return "list";
  if (x === null || typeof x !== "object") return typeof x;
  const name = x.constructor?.name;
  return !name || name === "Object" ? "object" : name;
}

/** By its form: what comes from another copy of the library is of another class, and a tensor all the same. */
const looksLikeTensor = (x: object): x is { spec: Spec } =>
  "node" in x && Array.isArray((x as { spec?: Spec }).spec?.shape);
