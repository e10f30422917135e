/** The kernel that copies bytes: a workgroup is a piece of {@linkcode COPY_UNIT} bytes. */
import { Code } from "./code.ts";
import { type MemoryKind, moduleBytes } from "./module.ts";
import { TABLE } from "./writer.ts";

/** Bytes that one workgroup copies. */
export const COPY_UNIT = 65_536;
/** The most that one job copies. */
export const COPY_MOST = 2 ** 30;
/** Where the number of bytes lies in the arguments. */
const TOTAL = 12;

/** Buffer 0 is the source, buffer 1 the target. */
export function copyBytes(memory: MemoryKind): Uint8Array<ArrayBuffer> {
  const address = memory.wide ? "i64" : "i32";
  const code = new Code([address, "i32", "i32"], []);
  const [FROM, TO] = [1, 2];
  const at = code.local("i32");
  code.get(FROM);
  code.i32(COPY_UNIT);
  code.op("i32.mul");
  code.set(at);
  const place = (slot: number) => {
    code.get(0);
    code.memory(`${address}.load`, TABLE.at + slot * TABLE.entry);
    code.get(at);
    if (memory.wide) code.op("i64.extend_i32_u");
    code.op(`${address}.add`);
  };
  place(1);
  place(0);
  const end = code.local("i32");
  const total = code.local("i32");
  code.get(TO);
  code.i32(COPY_UNIT);
  code.op("i32.mul");
  code.set(end);
  code.get(0);
  code.memory("i32.load", TOTAL);
  code.set(total);
  for (const l of [end, total, end, total]) code.get(l);
  code.op("i32.lt_u");
  code.op("select");
  code.get(at);
  code.op("i32.sub");
  if (memory.wide) code.op("i64.extend_i32_u");
  code.copyMemory();
  return moduleBytes([code], 0, memory);
}
