/** WebAssembly by bytes: one function's instructions, and the names under which they are written here. */

/** Types of values, as encoded. */
export const VALUE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
/** A type of value. */
export type ValueType = keyof typeof VALUE;

const PLAIN: Readonly<Record<string, number>> = {
  unreachable: 0x00,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  "i32.eqz": 0x45,
  "i32.eq": 0x46,
  "i32.ne": 0x47,
  "i32.lt_s": 0x48,
  "i32.lt_u": 0x49,
  "i32.gt_s": 0x4a,
  "i32.gt_u": 0x4b,
  "i32.le_s": 0x4c,
  "i32.le_u": 0x4d,
  "i32.ge_s": 0x4e,
  "i32.ge_u": 0x4f,
  "f32.eq": 0x5b,
  "f32.ne": 0x5c,
  "f32.lt": 0x5d,
  "f32.gt": 0x5e,
  "f32.le": 0x5f,
  "f32.ge": 0x60,
  "i32.clz": 0x67,
  "i32.ctz": 0x68,
  "i32.popcnt": 0x69,
  "i32.add": 0x6a,
  "i32.sub": 0x6b,
  "i32.mul": 0x6c,
  "i32.div_s": 0x6d,
  "i32.div_u": 0x6e,
  "i32.rem_s": 0x6f,
  "i32.rem_u": 0x70,
  "i32.and": 0x71,
  "i32.or": 0x72,
  "i32.xor": 0x73,
  "i32.shl": 0x74,
  "i32.shr_s": 0x75,
  "i32.shr_u": 0x76,
  "i64.add": 0x7c,
  "i64.sub": 0x7d,
  "i64.mul": 0x7e,
  "i64.and": 0x83,
  "i64.or": 0x84,
  "i64.shl": 0x86,
  "i64.shr_u": 0x88,
  "f32.abs": 0x8b,
  "f32.neg": 0x8c,
  "f32.ceil": 0x8d,
  "f32.floor": 0x8e,
  "f32.trunc": 0x8f,
  "f32.nearest": 0x90,
  "f32.sqrt": 0x91,
  "f32.add": 0x92,
  "f32.sub": 0x93,
  "f32.mul": 0x94,
  "f32.div": 0x95,
  "f64.mul": 0xa2,
  "i64.extend_i32_u": 0xad,
  "f32.convert_i32_s": 0xb2,
  "f32.convert_i32_u": 0xb3,
  "f64.convert_i64_s": 0xb9,
  "i32.reinterpret_f32": 0xbc,
  "i64.reinterpret_f64": 0xbd,
  "f32.reinterpret_i32": 0xbe,
};

/** Behind 0xfc. */
const SATURATING: Readonly<Record<string, number>> = {
  "i32.trunc_sat_f32_s": 0,
  "i32.trunc_sat_f32_u": 1,
};

/** Behind 0xfd. */
const VECTOR: Readonly<Record<string, number>> = {
  "i8x16.swizzle": 14,
  "i32x4.splat": 17,
  "f32x4.splat": 19,
  "i32x4.eq": 55,
  "i32x4.ne": 56,
  "i32x4.lt_s": 57,
  "i32x4.lt_u": 58,
  "i32x4.gt_s": 59,
  "i32x4.gt_u": 60,
  "i32x4.le_s": 61,
  "i32x4.le_u": 62,
  "i32x4.ge_s": 63,
  "i32x4.ge_u": 64,
  "f32x4.eq": 65,
  "f32x4.ne": 66,
  "f32x4.lt": 67,
  "f32x4.gt": 68,
  "f32x4.le": 69,
  "f32x4.ge": 70,
  "f64x2.eq": 71,
  "f64x2.lt": 73,
  "v128.not": 77,
  "v128.and": 78,
  "v128.andnot": 79,
  "v128.or": 80,
  "v128.xor": 81,
  "v128.bitselect": 82,
  "v128.any_true": 83,
  "f32x4.demote_f64x2_zero": 94,
  "f64x2.promote_low_f32x4": 95,
  "f32x4.ceil": 103,
  "f32x4.floor": 104,
  "f32x4.trunc": 105,
  "f32x4.nearest": 106,
  "i16x8.narrow_i32x4_u": 134,
  "i32x4.abs": 160,
  "i32x4.neg": 161,
  "i32x4.all_true": 163,
  "i32x4.extend_low_i16x8_s": 167,
  "i32x4.shl": 171,
  "i32x4.shr_s": 172,
  "i32x4.shr_u": 173,
  "i32x4.add": 174,
  "i32x4.sub": 177,
  "i32x4.mul": 181,
  "i32x4.min_s": 182,
  "i32x4.min_u": 183,
  "i32x4.max_s": 184,
  "i32x4.max_u": 185,
  "i64x2.shl": 203,
  "i64x2.shr_u": 205,
  "i64x2.add": 206,
  "i64x2.sub": 209,
  "i64x2.eq": 214,
  "i64x2.lt_s": 216,
  "f32x4.abs": 224,
  "f32x4.neg": 225,
  "f32x4.sqrt": 227,
  "f32x4.add": 228,
  "f32x4.sub": 229,
  "f32x4.mul": 230,
  "f32x4.div": 231,
  "f32x4.pmin": 234,
  "f32x4.pmax": 235,
  "f64x2.abs": 236,
  "f64x2.sqrt": 239,
  "f64x2.add": 240,
  "f64x2.sub": 241,
  "f64x2.mul": 242,
  "f64x2.div": 243,
  "f64x2.pmin": 246,
  "f64x2.pmax": 247,
  "i32x4.trunc_sat_f32x4_s": 248,
  "i32x4.trunc_sat_f32x4_u": 249,
  "f32x4.convert_i32x4_s": 250,
  "f32x4.convert_i32x4_u": 251,
  "f32x4.relaxed_madd": 0x105,
  "f32x4.relaxed_nmadd": 0x106,
  "f64x2.relaxed_madd": 0x107,
};

/** Opcodes of loads and stores with the power of two of their natural alignment. */
const MEMORY: Readonly<Record<string, readonly [bytes: readonly number[], align: number]>> = {
  "i32.load": [[0x28], 2],
  "i64.load": [[0x29], 3],
  "f32.load": [[0x2a], 2],
  "i32.load16_s": [[0x2e], 1],
  "i32.store": [[0x36], 2],
  "f32.store": [[0x38], 2],
  "i32.store16": [[0x3b], 1],
  "v128.load": [[0xfd, 0], 4],
  "v128.load16x4_s": [[0xfd, 3], 3],
  "v128.load16_splat": [[0xfd, 8], 1],
  "v128.load32_splat": [[0xfd, 9], 2],
  "v128.store": [[0xfd, 11], 4],
  "v128.load32_zero": [[0xfd, 92], 2],
  "v128.load64_zero": [[0xfd, 93], 3],
};
const LANE_STORES: Readonly<Record<string, readonly [code: number, align: number]>> = {
  "v128.store32_lane": [90, 2],
  "v128.store64_lane": [91, 3],
};
const LANES: Readonly<Record<string, number>> = {
  "i32x4.extract_lane": 27,
  "i32x4.replace_lane": 28,
  "i64x2.replace_lane": 30,
  "f32x4.extract_lane": 31,
  "f32x4.replace_lane": 32,
};

/** An unsigned LEB128 number. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push((value % 128) | (rest ? 0x80 : 0));
    value = rest;
  } while (value);
  return bytes;
}

/** A signed LEB128 number of at most 64 bits. */
function signed(number: number | bigint): number[] {
  const bytes: number[] = [];
  let value = BigInt(number);
  for (;;) {
    const low = Number(value & 127n);
    value >>= 7n;
    const done = (value === 0n && low < 64) || (value === -1n && low >= 64);
    bytes.push(low | (done ? 0 : 0x80));
    if (done) return bytes;
  }
}

const view = new DataView(new ArrayBuffer(16));

/** The instructions of one function, with its locals. */
export class Code {
  readonly bytes: number[] = [];
  readonly #locals: ValueType[] = [];
  /** Vector constants by their bits: written once, where the function begins, since an engine makes each from four moves. */
  readonly #pool = new Map<string, number>();
  readonly #prologue: number[] = [];
  readonly #free: Record<ValueType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  #depth = 0;

  /**
   * @param fused whether the engine multiplies and adds in one instruction
   * @param narrow whether of the vectors that it takes and gives only the first two lanes count
   */
  constructor(
    readonly parameters: readonly ValueType[],
    readonly results: readonly ValueType[],
    readonly fused = false,
    readonly narrow = false,
  ) {}

  /** A new local, 0 at first. */
  local(t: ValueType): number {
    this.#locals.push(t);
    return this.parameters.length + this.#locals.length - 1;
  }

  /** Lends a local to `f`. */
  scratch(t: ValueType, f: (local: number) => void): void {
    const local = this.#free[t].pop() ?? this.local(t);
    f(local);
    this.#free[t].push(local);
  }

  /** An instruction without operands. */
  op(name: string): void {
    if (Object.hasOwn(PLAIN, name)) this.bytes.push(PLAIN[name]);
    else if (Object.hasOwn(VECTOR, name)) this.bytes.push(0xfd, ...unsigned(VECTOR[name]));
    else if (Object.hasOwn(SATURATING, name)) this.bytes.push(0xfc, SATURATING[name]);
    else throw new Error(`there is no instruction ${name}`);
  }

  get(local: number): void {
    this.bytes.push(0x20, ...unsigned(local));
  }
  set(local: number): void {
    this.bytes.push(0x21, ...unsigned(local));
  }
  tee(local: number): void {
    this.bytes.push(0x22, ...unsigned(local));
  }
  i32(value: number): void {
    this.bytes.push(0x41, ...signed(value | 0));
  }
  i64(value: number | bigint): void {
    this.bytes.push(0x42, ...signed(value));
  }
  f32(value: number): void {
    view.setFloat32(0, value, true);
    this.bytes.push(0x43, ...new Uint8Array(view.buffer, 0, 4));
  }
  f64(value: number): void {
    view.setFloat64(0, value, true);
    this.bytes.push(0x44, ...new Uint8Array(view.buffer, 0, 8));
  }
  /** A constant vector of floats; lanes that are not given are 0. */
  f32x4(values: readonly number[]): void {
    for (let i = 0; i < 4; i++) view.setFloat32(4 * i, values[i] ?? 0, true);
    this.#vector();
  }
  /** A constant vector of words. */
  i32x4(values: readonly number[]): void {
    for (let i = 0; i < 4; i++) view.setInt32(4 * i, values[i] ?? 0, true);
    this.#vector();
  }
  f64x2(values: readonly number[]): void {
    for (let i = 0; i < 2; i++) view.setFloat64(8 * i, values[i] ?? 0, true);
    this.#vector();
  }
  /** The same long word in both lanes. */
  i64x2(value: bigint): void {
    for (let i = 0; i < 2; i++) view.setBigInt64(8 * i, value, true);
    this.#vector();
  }
  #vector(): void {
    const bytes = new Uint8Array(view.buffer);
    const key = String(bytes);
    // Zeros and ones are one instruction wherever they stand.
    if (bytes.every((b) => b === bytes[0]) && (bytes[0] === 0 || bytes[0] === 255)) {
      this.bytes.push(0xfd, 12, ...bytes);
      return;
    }
    let local = this.#pool.get(key);
    if (local === undefined) {
      this.#pool.set(key, local = this.local("v128"));
      this.#prologue.push(0xfd, 12, ...bytes, 0x21, ...unsigned(local));
    }
    this.get(local);
  }
  /** Lanes of four bytes from two vectors: 0 … 3 of the first, 4 … 7 of the second. */
  shuffle(lanes: readonly number[]): void {
    const bytes = lanes.flatMap((l) => [0, 1, 2, 3].map((b) => 4 * l + b));
    this.bytes.push(0xfd, 13, ...bytes);
  }
  /** Takes a lane out, or puts one in. */
  lane(name: string, lane: number): void {
    this.bytes.push(0xfd, LANES[name], lane);
  }
  /** A load or store; its address is on the stack. */
  memory(name: string, offset = 0): void {
    const [bytes, align] = MEMORY[name];
    this.bytes.push(...bytes, align, ...unsigned(offset));
  }
  /** Stores a lane. */
  storeLane(name: string, lane: number, offset = 0): void {
    const [code, align] = LANE_STORES[name];
    this.bytes.push(0xfd, code, align, ...unsigned(offset), lane);
  }
  /** Copies bytes; target, source and their number are on the stack. */
  copyMemory(): void {
    this.bytes.push(0xfc, 10, 0, 0);
  }
  call(index: number): void {
    this.bytes.push(0x10, ...unsigned(index));
  }

  /** Opens a block, loop or branch; its label is the depth that {@linkcode Code.branch} takes. */
  open(kind: "block" | "loop" | "if", result?: ValueType): number {
    this.bytes.push({ block: 0x02, loop: 0x03, if: 0x04 }[kind], result ? VALUE[result] : 0x40);
    return ++this.#depth;
  }
  otherwise(): void {
    this.bytes.push(0x05);
  }
  close(): void {
    this.#depth--;
    this.bytes.push(0x0b);
  }
  /** Leaves a block, or begins a loop again; with `test`, if the number on the stack is not 0. */
  branch(label: number, test = false): void {
    this.bytes.push(test ? 0x0d : 0x0c, ...unsigned(this.#depth - label));
  }

  /** The function as the code section has it. */
  body(): number[] {
    const runs: [number, ValueType][] = [];
    for (const t of this.#locals) {
      const last = runs.at(-1);
      if (last?.[1] === t) last[0]++;
      else runs.push([1, t]);
    }
    const locals = runs.flatMap(([n, t]) => [...unsigned(n), VALUE[t]]);
    const body = unsigned(runs.length).concat(locals, this.#prologue, this.bytes, 0x0b);
    return unsigned(body.length).concat(body);
  }
}
