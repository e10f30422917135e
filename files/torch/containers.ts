/** The two files that `torch.save` has written: a zip archive with an entry for each storage, and one pickle after another. */
import { FILE_BYTES } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import { type PickleTable, type PickleValue, unpickle } from "./pickle.ts";
import { PickleCutShort } from "./pickle_bytes.ts";
import type { ByteSource } from "../source.ts";
import { type Storage, torchTable } from "./globals.ts";
import type { Run } from "./tensor.ts";
import { openZip, type Zip, type ZipEntry } from "../archives/zip.ts";

/** A checkpoint's pickle, and where its numbers are. */
export interface Opened {
  /** What was saved. */
  readonly root: PickleValue;
  /** Bytes of a storage. Throws {@linkcode FileError} where the file has none of that key. */
  run(storage: Storage): Run;
}

/** Bytes of the longest pickle that is read; those of full training states have a few. */
const LONGEST = 64 * 2 ** 20;
/** Bytes that are looked at first where it is not said how long a pickle is. */
const FIRST = 64 * 1024;

const DAMAGED = "The file is damaged or was cut short: fetch or write it again";
const BIG_ENDIAN = "Save it on a little-endian machine, or as safetensors";

/** Opens the archive: `<name>/data.pkl`, `<name>/data/<key>`, `<name>/byteorder`. */
export async function openZipped(source: ByteSource): Promise<Opened> {
  const zip = await openZip(source), file = source.name;
  const pickle = [...zip.entries.values()].find((e) => /^[^/]+\/data\.pkl$/.test(e.name));
  if (!pickle) {
    throw new FileError(file, "is a zip archive, and no PyTorch checkpoint", "Name the file in it");
  }
  const folder = pickle.name.slice(0, -"data.pkl".length);
  if (zip.entries.has(`${folder}constants.pkl`)) {
    throw new FileError(file, "is a TorchScript program, not a checkpoint", "Save its state_dict");
  }
  const order = await text(zip, zip.entries.get(`${folder}byteorder`));
  if (order !== undefined && order !== "little") {
    throw new FileError(file, `is of byte order ${JSON.stringify(order)}`, BIG_ENDIAN);
  }
  if (pickle.bytes > LONGEST) {
    throw new FileError(file, `has a pickle of ${pickle.bytes} bytes`, DAMAGED);
  }
  const bytes = await zip.read(pickle, 0, pickle.bytes);
  return {
    root: unpickle(bytes, file, torchTable(file)).value,
    run({ key }) {
      const entry = zip.entries.get(`${folder}data/${key}`);
      if (!entry) throw new FileError(file, `lacks the numbers "data/${key}"`, DAMAGED);
      return {
        bytes: entry.bytes,
        read: (offset, length) => zip.read(entry, offset, length),
      };
    },
  };
}

async function text(zip: Zip, entry: ZipEntry | undefined): Promise<string | undefined> {
  if (!entry) return undefined;
  return new TextDecoder().decode(await zip.read(entry, 0, Math.min(entry.bytes, 16)));
}

/** Opens the older file: magic number, version, system, the object, the keys of the storages, and the storages. */
export async function openLegacy(source: ByteSource): Promise<Opened> {
  const file = source.name;
  const storages = new Map<string, Storage>();
  const table = torchTable(file);
  const noting: PickleTable = {
    global: table.global,
    persistent(id) {
      const storage = table.persistent(id) as Storage;
      storages.set(storage.key, storage);
      return storage;
    },
  };
  const { values, end } = await pickles(source, noting);
  const [magic, version, system, root, keys] = values;
  const little = system instanceof Map ? system.get("little_endian") : undefined;
  if (magic !== 0x1950a86a20f9469cfc6cn || version !== 1001) {
    throw new FileError(file, "begins like a PyTorch checkpoint and is none", DAMAGED);
  }
  if (little !== true) throw new FileError(file, "is of another byte order", BIG_ENDIAN);
  if (!Array.isArray(keys)) throw new FileError(file, "does not list its storages", DAMAGED);
  const places = new Map<string, Run>();
  let at = end;
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || places.has(storage.key)) {
      throw new FileError(file, "lists storages that no tensor has", DAMAGED);
    }
    const head = await source.read(at, 8);
    const elements = Number(new DataView(head.buffer).getBigInt64(0, true));
    const start = at + 8, bytes = elements * FILE_BYTES[storage.dtype];
    if (elements !== storage.elements || start + bytes > source.size) {
      throw new FileError(file, `storage ${storage.key} has ${elements} numbers`, DAMAGED);
    }
    places.set(storage.key, {
      bytes,
      read: (offset, length) => source.read(start + offset, length),
    });
    at = start + bytes;
  }
  return {
    root,
    run({ key }) {
      const place = places.get(key);
      if (place) return place;
      throw new FileError(file, `lacks the numbers of storage ${key}`, DAMAGED);
    },
  };
}

/** The five pickles at the beginning, and where they end. How long they are shows only when they are read. */
async function pickles(source: ByteSource, table: PickleTable) {
  for (let length = FIRST;; length *= 4) {
    const whole = Math.min(length, LONGEST, source.size);
    const bytes = await source.read(0, whole);
    try {
      const values: PickleValue[] = [];
      let end = 0;
      while (values.length < 5) {
        const read = unpickle(bytes, source.name, table, end);
        values.push(read.value);
        end = read.end;
      }
      return { values, end };
    } catch (error) {
      if (!(error instanceof PickleCutShort) || whole < length) throw error;
    }
  }
}
