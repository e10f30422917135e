/** A WebAssembly module around functions: types, imports, exports. */
import { type Code, unsigned, VALUE, type ValueType } from "./code.ts";

/** What the memory of the device is, which every module must say in the same words. */
export interface MemoryKind {
  /** Whether threads share it. */
  readonly shared: boolean;
  /** Whether addresses have 64 bits. */
  readonly wide: boolean;
  /** Most pages of 64 KiB, as it was created. */
  readonly pages: number;
}

const text = (s: string): number[] => [...unsigned(s.length), ...new TextEncoder().encode(s)];
const section = (id: number, items: readonly (readonly number[])[]): number[] => {
  const body = [...unsigned(items.length)];
  for (const item of items) for (const byte of item) body.push(byte);
  const head = [id, ...unsigned(body.length)];
  return head.concat(body);
};
const functionType = (params: readonly ValueType[], results: readonly ValueType[]): number[] => [
  0x60,
  ...unsigned(params.length),
  ...params.map((t) => VALUE[t]),
  ...unsigned(results.length),
  ...results.map((t) => VALUE[t]),
];

/** Bytes of a module whose function `entry` is exported as "main". */
export function moduleBytes(
  functions: readonly Code[],
  entry: number,
  m: MemoryKind,
): Uint8Array<ArrayBuffer> {
  const limits = [(m.shared ? 3 : 0) | (m.wide ? 4 : 0), 1, ...m.shared ? unsigned(m.pages) : []];
  const types = functions.map((f) => functionType(f.parameters, f.results));
  const imports = [[...text("d"), ...text("memory"), 2, ...limits]];
  const bodies = functions.map((f) => f.body());
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, imports),
    ...section(3, functions.map((_, i) => unsigned(i))),
    ...section(7, [[...text("main"), 0, ...unsigned(entry)]]),
  ].concat(section(10, bodies)));
}
