/**
 * The three picture decoders, loaded when the first picture of their kind is met.
 *
 * Why wrapped: they fail in three different ways, the JPEG one by succeeding.
 */
import { FileError, messageOf } from "./errors.ts";

/** Decoded pixels. */
export interface Pixels {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Red, green, blue, alpha; rows from the top. Colours are not multiplied by alpha. */
  readonly data: ArrayLike<number>;
}

/** Kinds of picture that can be decoded. */
export type Kind = "png" | "jpeg" | "webp";

const DECODERS = { png: decodePng, jpeg: decodeJpeg, webp: decodeWebp } as const;

/** Whether there is a decoder for a kind of picture. */
export const isKnown = (kind: string | undefined): kind is Kind =>
  kind !== undefined && Object.hasOwn(DECODERS, kind);

/** Decodes a file of a known kind. Throws {@linkcode FileError} if it is damaged. */
export async function decodeAs(
  kind: Kind,
  bytes: Uint8Array,
  name: string,
): Promise<Pixels> {
  try {
    // a copy, since the decoders take a whole buffer
    return await DECODERS[kind](bytes.slice().buffer as ArrayBuffer);
  } catch (cause) {
    // The codec itself could not be loaded: that is not the picture's fault.
    if (cause instanceof Error && cause.name === "NotCapable") throw cause;
    // what the PNG decoder throws says nothing
    const said = cause instanceof Error && !cause.message.includes("unwrap")
      ? `: ${messageOf(cause)}`
      : "";
    throw new FileError(
      name,
      `can't be decoded as ${kind === "webp" ? "WebP" : kind.toUpperCase()}${said}`,
      "It is damaged: fetch it again, or save it anew from a picture editor",
      { cause },
    );
  }
}

async function decodePng(bytes: ArrayBuffer): Promise<Pixels> {
  const { default: decode } = await import("npm:@jsquash/png@3.1.1/decode.js");
  return await decode(bytes);
}

async function decodeWebp(bytes: ArrayBuffer): Promise<Pixels> {
  const { default: decode } = await import("npm:@jsquash/webp@1.5.0/decode.js");
  return await decode(bytes);
}

let jpegDecoder: Promise<(bytes: ArrayBuffer) => Promise<Pixels>> | undefined;
let complain: (text: string) => void = () => {};
let jpegTurn: Promise<unknown> = Promise.resolve();

/** The JPEG decoder fills what it can't read with grey and only complains; its complaints are made errors here. */
async function decodeJpeg(bytes: ArrayBuffer): Promise<Pixels> {
  const complaints: string[] = [];
  jpegDecoder ??= loadJpegDecoder();
  const decode = await jpegDecoder;
  // one at a time, so that it is known which picture is complained of
  const mine = jpegTurn.then(async () => {
    complain = (text) => complaints.push(text);
    return await decode(bytes);
  });
  jpegTurn = mine.catch(() => {});
  try {
    const pixels = await mine;
    if (complaints.length === 0) return pixels;
  } catch (error) {
    // when it gives up, it throws its exit status
    if (error instanceof Error) throw error;
  }
  throw new Error(complaints.join(", ") || "unknown fault");
}

async function loadJpegDecoder(): Promise<(bytes: ArrayBuffer) => Promise<Pixels>> {
  const { default: decode, init } = await import("npm:@jsquash/jpeg@1.6.0/decode.js");
  const options = { printErr: (text: string) => complain(text) };
  await init(options as Parameters<typeof init>[0]);
  return decode;
}
