/**
 * Python pickles, read as data.
 *
 * A pickle is a program for a small stack machine, and the original one calls whatever function the program names: opening
 * a file from a stranger can do anything. This machine calls nothing. A name is looked up in a table that the caller
 * gives, whose functions are ours and make plain values; any other name ends the reading. What is built is counted, so
 * that a small file cannot become a large memory. The instructions are those of protocols 2 to 5.
 */
import { FileError } from "../errors.ts";
import { DAMAGED, PickleBytes } from "./pickle_bytes.ts";

/** What a pickle may hold. Lists and tuples are both arrays; sets are arrays too. */
export type PickleValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | PickleObject
  | PickleCall
  | PickleValue[]
  | Map<PickleValue, PickleValue>;

/** An object of a class of which nothing is wanted, or one that a caller's function made. */
export class PickleObject {
  /** Its class. */
  readonly kind: string;
  /** Makes one. */
  constructor(kind: string) {
    this.kind = kind;
  }
  /** What `BUILD` gives it; passed over unless a class wants it. */
  build(_state: PickleValue): void {}
}

/** A name that may be called, and what that gives. */
export class PickleCall {
  /** Names it for messages. */
  constructor(readonly name: string, readonly call: (args: PickleValue[]) => PickleValue) {}
}

/** How names and outside objects become values. */
export interface PickleTable {
  /** Value of a global, or undefined if it is not among those that are known. */
  global(module: string, name: string): PickleValue | undefined;
  /** Value of a persistent id: how PyTorch refers to the numbers of a tensor. */
  persistent(id: PickleValue): PickleValue;
}

/** Instructions that are carried out at most, and for each tensor besides: a checkpoint takes about forty of them. */
const LONGEST = 2_000_000, FOR_TENSOR = 64;
const MARK = Symbol("mark");
type Slot = PickleValue | typeof MARK;

/**
 * Reads one pickle.
 *
 * @param at where in `bytes` it begins
 * @param file what to call it in messages
 * @returns its value, and where it ends
 * @throws FileError naming the fault, or the global that is not in the table; `PickleCutShort` (a FileError) where it does not end
 */
export function unpickle(
  bytes: Uint8Array,
  file: string,
  table: PickleTable,
  at = 0,
): { value: PickleValue; end: number } {
  const reader = new PickleBytes(bytes, file, at);
  const machine = new Machine(reader, table);
  try {
    return { value: machine.run(), end: reader.at };
  } catch (error) {
    // A Map or an array that can't grow any more.
    if (error instanceof RangeError) throw machine.fault("asks for more than can be held");
    throw error;
  }
}

class Machine {
  readonly #bytes: PickleBytes;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #allowed = LONGEST;

  constructor(bytes: PickleBytes, readonly table: PickleTable) {
    this.#bytes = bytes;
  }

  fault(text: string): FileError {
    const { file, at } = this.#bytes;
    return new FileError(file, `its pickle ${text} (at byte ${at})`, DAMAGED);
  }

  run(): PickleValue {
    for (let steps = 0; steps < this.#allowed; steps++) {
      const code = this.#bytes.uint(1);
      if (code === 0x2e) return this.#pop();
      this.#step(code);
    }
    throw this.fault(`has more than ${this.#allowed} instructions`);
  }

  #step(code: number): void {
    switch (code) {
      case 0x80: // PROTO
        if (this.#bytes.uint(1) > 5) throw this.fault("is of a newer protocol than 5");
        return;
      case 0x95: // FRAME
        return void this.#bytes.take(8);
      case 0x28: // MARK
        return void this.#stack.push(MARK);
      case 0x30: // POP
        return void this.#stack.pop();
      case 0x31: // POP_MARK
        return void this.#toMark();
      case 0x32: { // DUP
        const top = this.#pop();
        return void this.#stack.push(top, top);
      }
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4a: // BININT
        return this.#push(this.#bytes.uint(4) | 0);
      case 0x4b: // BININT1
        return this.#push(this.#bytes.uint(1));
      case 0x4d: // BININT2
        return this.#push(this.#bytes.uint(2));
      case 0x8a: // LONG1
        return this.#push(this.#bytes.long(this.#bytes.uint(1)));
      case 0x8b: // LONG4
        return this.#push(this.#bytes.long(this.#bytes.uint(4)));
      case 0x47: { // BINFLOAT
        const start = this.#bytes.take(8);
        return this.#push(this.#bytes.view.getFloat64(start));
      }
      case 0x58: // BINUNICODE
        return this.#push(this.#bytes.text(this.#bytes.uint(4)));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#bytes.text(this.#bytes.uint(1)));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#bytes.text(this.#bytes.uint(8)));
      case 0x54: // BINSTRING, of Python 2
        return this.#push(this.#bytes.text(this.#bytes.uint(4)));
      case 0x55: // SHORT_BINSTRING
        return this.#push(this.#bytes.text(this.#bytes.uint(1)));
      case 0x42: // BINBYTES
        return this.#push(this.#bytes.raw(this.#bytes.uint(4)));
      case 0x43: // SHORT_BINBYTES
        return this.#push(this.#bytes.raw(this.#bytes.uint(1)));
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#push(this.#bytes.raw(this.#bytes.uint(8)));
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
      case 0x8f: // EMPTY_SET
        return this.#push([]);
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map());
      case 0x6c: // LIST
      case 0x74: // TUPLE
      case 0x91: // FROZENSET
        return this.#push(this.#toMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#push(this.#last(code - 0x84));
      case 0x64: // DICT
        return this.#push(this.#fill(new Map(), this.#toMark()));
      case 0x61: // APPEND
        return this.#append(this.#last(1));
      case 0x65: // APPENDS
      case 0x90: // ADDITEMS
        return this.#append(this.#toMark());
      case 0x73: // SETITEM
        return this.#set(this.#last(2));
      case 0x75: // SETITEMS
        return this.#set(this.#toMark());
      case 0x68: // BINGET
        return this.#get(this.#bytes.uint(1));
      case 0x6a: // LONG_BINGET
        return this.#get(this.#bytes.uint(4));
      case 0x71: // BINPUT
        return void this.#memo.set(this.#bytes.uint(1), this.#top());
      case 0x72: // LONG_BINPUT
        return void this.#memo.set(this.#bytes.uint(4), this.#top());
      case 0x94: // MEMOIZE
        return void this.#memo.set(this.#memo.size, this.#top());
      case 0x63: // GLOBAL
        return this.#push(this.#global(this.#bytes.line(), this.#bytes.line()));
      case 0x93: { // STACK_GLOBAL
        const [module, name] = this.#last(2);
        return this.#push(this.#global(module, name));
      }
      case 0x52: // REDUCE
      case 0x81: { // NEWOBJ
        const [called, args] = this.#last(2);
        return this.#push(this.#call(called, args));
      }
      case 0x62: { // BUILD
        const [object, state] = this.#last(2);
        if (object instanceof PickleObject) object.build(state);
        return this.#push(object);
      }
      case 0x51: // BINPERSID
        this.#allowed += FOR_TENSOR;
        return this.#push(this.table.persistent(this.#pop()));
      default:
        throw this.fault(`has the instruction 0x${code.toString(16)}, which is not read here`);
    }
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === MARK) throw this.fault("takes from an empty stack");
    return value as PickleValue;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #last(n: number): PickleValue[] {
    const values = Array.from({ length: n }, () => this.#pop());
    return values.reverse();
  }

  #toMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) throw this.fault("looks for a mark that is not there");
    const values = this.#stack.splice(at).slice(1);
    return values as PickleValue[];
  }

  #append(values: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.fault("appends to what is no list");
    for (const value of values) list.push(value);
  }

  #set(items: PickleValue[]): void {
    const dict = this.#top();
    // Attributes of objects that nobody looks at.
    if (dict instanceof PickleObject) return;
    if (!(dict instanceof Map)) throw this.fault("sets an item of what is no dictionary");
    this.#fill(dict, items);
  }

  #fill(dict: Map<PickleValue, PickleValue>, items: PickleValue[]) {
    if (items.length % 2) throw this.fault("has a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    return dict;
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.fault(`uses value ${index} before it is made`);
    this.#push(value);
  }

  #global(module: PickleValue, name: PickleValue): PickleValue {
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.fault("names a global by what is no text");
    }
    const value = this.table.global(module, name);
    if (value !== undefined) return value;
    throw new FileError(
      this.#bytes.file,
      `names ${JSON.stringify(`${module}.${name}`.slice(0, 200))}, which no file of tensors needs`,
      "Nothing in it was run. Unless you trust who made it, throw it away; else save its tensors as safetensors",
    );
  }

  #call(called: PickleValue, args: PickleValue): PickleValue {
    if (!(called instanceof PickleCall)) throw this.fault("calls what can't be called");
    if (!Array.isArray(args)) throw this.fault(`calls ${called.name} without a list of arguments`);
    return called.call(args);
  }
}
