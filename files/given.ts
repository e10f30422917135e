/** What readers and writers of files are given: what it has to have, for `expectKinds`. */
import { having, type Kind } from "../tensor/kinds.ts";

/** A path is a text, wherever it leads. */
export const PATH: Kind = ["a path", (x) => typeof x === "string"];

/** What a reader of files takes. */
export const SOURCE: Kind = [
  "a path, bytes, or a source of them",
  (x) =>
    typeof x === "string" || x instanceof Uint8Array ||
    having("", "name", "size", "read", "close")[1](x),
];

/** A folder that a reader takes, or has looked through already. */
export const FOLDER: Kind = [
  "a path, or a folder that was looked through",
  (x) => typeof x === "string" || having("", "path")[1](x),
];

/** A tensor as it is written, or how it is fetched. */
export const WRITABLE: Kind = [
  "{ data, shape } with numbers: of a tensor, { data: await device.read(t), shape: t.shape }",
  (x) => {
    const { shape, data } = (x ?? {}) as { shape?: unknown; data?: unknown };
    return Array.isArray(shape) && (ArrayBuffer.isView(data) || typeof data === "function");
  },
];

/** A picture. */
export const PICTURE: Kind = having(
  "a picture { width, height, data }, as readPicture gives it",
  "width",
  "height",
  "data",
);
