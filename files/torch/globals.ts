/**
 * The names that a PyTorch checkpoint may use, and what they become here: tensors, ordered dictionaries, and shells of a
 * few harmless classes that training scripts leave in their files. Nothing else is known, so nothing else can happen.
 */
import { FILE_BYTES, type FileDType } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import { PickleCall, PickleObject, type PickleTable, type PickleValue } from "./pickle.ts";

/** A run of numbers in the file, of which tensors are views. */
export class Storage extends PickleObject {
  /** Names the bytes and how many elements they are. */
  constructor(readonly key: string, readonly dtype: FileDType, readonly elements: number) {
    super("storage");
  }
}

/** A view of a storage; offset and strides count elements. */
export class StridedTensor extends PickleObject {
  /** As PyTorch describes a tensor. */
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super("tensor");
  }
}

class ElementType extends PickleObject {
  constructor(readonly dtype: FileDType) {
    super("dtype");
  }
}

const STORAGES: Readonly<Record<string, FileDType>> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
  UntypedStorage: "U8",
};

const DTYPES: Readonly<Record<string, FileDType>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float64: "F64",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
  bool: "BOOL",
};

/** Element types that PyTorch has and nothing here reads: they are named in the error instead of called harmful. */
const UNREAD = /^(float[48]_|[Cc]omplex|qu?int|Q)/;

/** Classes that occur by name, or whose objects nobody looks into. */
const SHELLS = new Set([
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.device",
  "torch.serialization._get_layout",
  "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
  "pytorch_lightning.utilities.parsing.AttributeDict",
  "lightning_fabric.utilities.data.AttributeDict",
  "argparse.Namespace",
]);

/** Characters of the longest text that is turned to bytes: a number of numpy's. */
const NUMBER = 64;

/** The table for one file. */
export function torchTable(file: string): PickleTable {
  const calls = new Map(Object.entries(callsFor(file)));
  return {
    global(module, name) {
      const full = `${module}.${name}`;
      const call = calls.get(full);
      if (call) return new PickleCall(full, call);
      if (SHELLS.has(full)) return new PickleCall(full, () => new PickleObject(full));
      if (module !== "torch" && module !== "torch.storage") return undefined;
      const dtype = own(STORAGES, name) ?? own(DTYPES, name);
      if (dtype) return new ElementType(dtype);
      if (!UNREAD.test(name)) return undefined;
      throw new FileError(
        file,
        `holds numbers of type ${full}, which are not read here`,
        "Convert it to f32, f16 or bf16",
      );
    },
    persistent(id) {
      const [what, type, key, , elements] = Array.isArray(id) ? id : [];
      const sound = what === "storage" && type instanceof ElementType && typeof key === "string" &&
        isCount(elements);
      if (!sound) throw fault(file, "refers to something that is no storage of numbers");
      const view = (id as PickleValue[])[5];
      if (view !== undefined && view !== null) {
        throw fault(file, "holds a storage that is a view of another, as PyTorch 0.3 wrote them");
      }
      return new Storage(key, type.dtype, elements as number);
    },
  };
}

function callsFor(file: string): Record<string, (args: PickleValue[]) => PickleValue> {
  const tensor = (args: PickleValue[]) => tensorOf(file, args);
  const first = ([value]: PickleValue[]) => value ?? null;
  const list = ([items]: PickleValue[]) => Array.isArray(items) ? items : [];
  const scalar = ([, bytes]: PickleValue[]) => bytes instanceof Uint8Array ? bytes : null;
  const dtype = () => new PickleObject("numpy.dtype");
  const typed = ([call, , args]: PickleValue[]) => {
    // A tensor with attributes: what makes it, its class, and with what.
    if (call instanceof PickleCall && Array.isArray(args)) return call.call(args);
    throw fault(file, "makes a tensor from nothing");
  };
  return {
    "collections.OrderedDict": ([items]) =>
      new Map(
        (Array.isArray(items) ? items : [])
          .filter((item): item is PickleValue[] => Array.isArray(item) && item.length === 2)
          .map(([key, value]): [PickleValue, PickleValue] => [key, value]),
      ),
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": tensor,
    "torch._utils._rebuild_parameter": first,
    "torch._utils._rebuild_parameter_with_state": first,
    "torch._tensor._rebuild_from_type_v2": typed,
    "torch.Size": list,
    "builtins.set": list,
    "__builtin__.set": list,
    "_codecs.encode": ([text]) => {
      if (typeof text !== "string" || text.length > NUMBER) {
        throw fault(file, "encodes what is no number of numpy's");
      }
      return Uint8Array.from(text, (c) => c.charCodeAt(0));
    },
    "numpy.dtype": dtype,
    "numpy.core.multiarray.scalar": scalar,
    "numpy._core.multiarray.scalar": scalar,
  };
}

/** `(storage, offset, shape, strides, …)`; the third version ends in an element type. */
function tensorOf(file: string, args: PickleValue[]): StridedTensor {
  const [storage, offset, shape, strides] = args;
  const sound = storage instanceof Storage && isCount(offset) && isCounts(shape) &&
    isCounts(strides) && shape.length === strides.length;
  if (!sound) throw fault(file, "describes a tensor that can't be");
  const type = args[6];
  if (!(type instanceof ElementType)) return new StridedTensor(storage, offset, shape, strides);
  const { key, elements } = storage;
  const size = elements * FILE_BYTES[storage.dtype] / FILE_BYTES[type.dtype];
  return new StridedTensor(
    new Storage(key, type.dtype, Math.floor(size)),
    offset,
    shape,
    strides,
  );
}

const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const isCount = (value: PickleValue): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
const isCounts = (value: PickleValue): value is number[] =>
  Array.isArray(value) && value.length <= 32 && value.every(isCount);

const fault = (file: string, text: string) =>
  new FileError(file, text, "The file is damaged: fetch or write it again");
