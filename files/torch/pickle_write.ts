/** The pickle of a PyTorch checkpoint, protocol 2: dictionaries, lists, and tensors that refer to numbers beside it. */
import { joinedBytes } from "../bytes.ts";
import type { FileDType } from "../dtypes.ts";
import type { TensorToWrite } from "../safetensors/write.ts";

/** What a checkpoint can hold: nested dictionaries and lists of tensors, texts, numbers, true, false and nothing. */
export type TorchToWrite =
  | TensorToWrite
  | ReadonlyMap<string, TorchToWrite>
  | readonly TorchToWrite[]
  | string
  | number
  | boolean
  | null;

/** How a tensor stands in the pickle. */
export interface PickledTensor {
  /** Names the entry that holds its numbers. */
  readonly key: string;
  /** Their type. */
  readonly dtype: FileDType;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** How many there are. */
  readonly elements: number;
}

/** PyTorch's names of what holds numbers of a type. */
export const STORAGES: Readonly<Partial<Record<FileDType, string>>> = {
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  F64: "DoubleStorage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

const MARK = 0x28, EMPTY_TUPLE = 0x29, STOP = 0x2e, FLOAT = 0x47, INT = 0x4a, NONE = 0x4e;
const PERSISTENT = 0x51, REDUCE = 0x52, UNICODE = 0x58, LIST = 0x5d, GLOBAL = 0x63;
const APPENDS = 0x65, TUPLE = 0x74, SETITEMS = 0x75, DICT = 0x7d, PROTOCOL = 0x80;
const TRUE = 0x88, FALSE = 0x89, LONG = 0x8a;

/**
 * Pickles a value.
 *
 * @param place called for each tensor in turn: where its numbers will be
 */
export function pickleOf(
  root: TorchToWrite,
  place: (tensor: TensorToWrite) => PickledTensor,
): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(PROTOCOL, 2)];
  const put = (...bytes: number[]) => void parts.push(Uint8Array.from(bytes));
  const wide = (code: number, bytes: number, set: (view: DataView) => void) => {
    const part = new Uint8Array(1 + bytes);
    part[0] = code;
    set(new DataView(part.buffer));
    parts.push(part);
  };
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    wide(UNICODE, 4, (view) => view.setUint32(1, bytes.length, true));
    parts.push(bytes);
  };
  const global = (module: string, name: string) =>
    parts.push(new TextEncoder().encode(`${String.fromCharCode(GLOBAL)}${module}\n${name}\n`));
  const number = (value: number) => {
    if (!Number.isInteger(value) || Object.is(value, -0)) {
      wide(FLOAT, 8, (view) => view.setFloat64(1, value));
    } else if (value === (value | 0)) {
      wide(INT, 4, (view) => view.setInt32(1, value, true));
    } else if (Number.isSafeInteger(value)) {
      wide(LONG, 9, (view) => {
        view.setUint8(1, 8);
        view.setBigInt64(2, BigInt(value), true);
      });
    } else wide(FLOAT, 8, (view) => view.setFloat64(1, value));
  };
  const counts = (values: readonly number[]) => {
    put(MARK);
    values.forEach(number);
    put(TUPLE);
  };
  const tensor = ({ key, dtype, shape, elements }: PickledTensor) => {
    global("torch._utils", "_rebuild_tensor_v2");
    put(MARK, MARK);
    text("storage");
    global("torch", STORAGES[dtype]!);
    text(key);
    text("cpu");
    number(elements);
    put(TUPLE, PERSISTENT);
    number(0); // offset
    counts(shape);
    counts(shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1)));
    put(FALSE); // requires_grad
    global("collections", "OrderedDict"); // hooks
    put(EMPTY_TUPLE, REDUCE, TUPLE, REDUCE);
  };
  const value = (item: TorchToWrite): void => {
    if (item === null) put(NONE);
    else if (typeof item === "string") text(item);
    else if (typeof item === "number") number(item);
    else if (typeof item === "boolean") put(item ? TRUE : FALSE);
    else if (isMap(item)) {
      put(DICT, MARK);
      for (const [name, inner] of item) {
        text(name);
        value(inner);
      }
      put(SETITEMS);
    } else if (isList(item)) {
      put(LIST, MARK);
      item.forEach(value);
      put(APPENDS);
    } else tensor(place(item));
  };
  value(root);
  put(STOP);
  return joinedBytes(parts);
}

const isMap = (item: object): item is ReadonlyMap<string, TorchToWrite> => item instanceof Map;
const isList = (item: object): item is readonly TorchToWrite[] => Array.isArray(item);
