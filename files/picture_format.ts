/**
 * What kind of picture a file is, whether it is all there, and which way is up; found out before a decoder is let loose.
 *
 * Why: the JPEG decoder fills a truncated file with grey and calls it a success, no decoder here can tell a phone's
 * HEIC from garbage, and none but the JPEG one knows of EXIF.
 */

/** What was found out from the bytes of a picture file. */
export interface Found {
  /** `"png"`, `"jpeg"` and `"webp"` can be decoded; another name is that of a format that can't. */
  readonly kind: string | undefined;
  /** EXIF orientation, 1 to 8; 1 is upright. */
  readonly orientation: number;
  /** Width × height as the header has it, where that is easily found. */
  readonly pixels?: number;
  /** What is wrong, if something is. */
  readonly fault?: string;
}

const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

/** Looks at the bytes of a file. Never throws. */
export function inspect(bytes: Uint8Array): Found {
  const head = ascii(bytes, 0, 16);
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return { kind: "png", ...png(bytes) };
  if (head.startsWith("\xff\xd8\xff")) return { kind: "jpeg", ...jpeg(bytes) };
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") {
    return { kind: "webp", ...webp(bytes) };
  }
  const others: [RegExp, string][] = [
    [/^GIF8/, "GIF"],
    [/^BM/, "BMP"],
    [/^(II\*\0|MM\0\*)/, "TIFF"],
    [/^....ftyp(heic|heix|mif1|msf1|hevc)/s, "HEIC"],
    [/^....ftypavi[fs]/s, "AVIF"],
    [/^8BPS/, "Photoshop"],
    [/^(\xff\n|....JXL )/s, "JPEG XL"],
    [/^%PDF/, "PDF"],
  ];
  return { kind: others.find(([magic]) => magic.test(head))?.[1], orientation: 1 };
}

type Rest = Omit<Found, "kind">;

const big = (bytes: Uint8Array, at: number, count: number): number => {
  let n = 0;
  for (let i = 0; i < count; i++) n = n * 256 + (bytes[at + i] ?? 0);
  return n;
};

function png(bytes: Uint8Array): Rest {
  let orientation = 1;
  const pixels = big(bytes, 16, 4) * big(bytes, 20, 4);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = big(bytes, at, 4), name = ascii(bytes, at + 4, at + 8);
    if (name === "eXIf") orientation = orientationOf(bytes.subarray(at + 8, at + 8 + length));
    if (name === "IEND") return { orientation, pixels };
    at += 12 + length;
  }
  return { orientation, fault: "is cut short" };
}

function webp(bytes: Uint8Array): Rest {
  const little = (at: number) => big(bytes.slice(at, at + 4).reverse(), 0, 4);
  let orientation = 1, pixels = 0;
  if (little(4) + 8 > bytes.length) return { orientation, fault: "is cut short" };
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = little(at + 4);
    if (ascii(bytes, at, at + 4) === "EXIF") {
      orientation = orientationOf(bytes.subarray(at + 8, at + 8 + length));
    }
    pixels = Math.max(pixels, webpPixels(ascii(bytes, at, at + 4), little, at + 8));
    if (ascii(bytes, at, at + 4) === "ANIM") {
      return { orientation, fault: "is an animation, not a picture" };
    }
    at += 8 + length + length % 2;
  }
  return { orientation, pixels };
}

/** Width × height as a chunk at `at` has it: lossy, lossless, or the canvas of both. */
function webpPixels(kind: string, little: (at: number) => number, at: number): number {
  const bits = (from: number, shift: number, count: number) =>
    Math.floor(little(from) / 2 ** shift) % 2 ** count;
  if (kind === "VP8 ") return bits(at + 6, 0, 14) * bits(at + 8, 0, 14);
  if (kind === "VP8L") return (bits(at + 1, 0, 14) + 1) * (bits(at + 1, 14, 14) + 1);
  if (kind === "VP8X") return (bits(at + 4, 0, 24) + 1) * (bits(at + 7, 0, 24) + 1);
  return 0;
}

function jpeg(bytes: Uint8Array): Rest {
  let orientation = 1;
  let pixels = 0;
  for (let at = 2; at + 4 <= bytes.length;) {
    if (bytes[at] !== 0xff) return { orientation, fault: "is damaged" };
    const marker = bytes[at + 1], length = big(bytes, at + 2, 2);
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0xe1 && orientation === 1) {
      orientation = orientationOf(bytes.subarray(at + 4, at + 2 + length));
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) pixels = big(bytes, at + 5, 2) * big(bytes, at + 7, 2);
    if (isFrame && bytes[at + 9] === 4) {
      return { orientation, fault: "is a CMYK JPEG, made for print" };
    }
    // The compressed data follow. They can't hold an end marker, a thumbnail in the headers before can.
    if (marker === 0xda) {
      return { orientation, pixels, fault: ends(bytes, at) ? undefined : "is cut short" };
    }
    at += 2 + length;
  }
  return { orientation, fault: "is cut short" };
}

function ends(bytes: Uint8Array, after: number): boolean {
  for (let i = bytes.lastIndexOf(0xd9); i > after; i = bytes.lastIndexOf(0xd9, i - 1)) {
    if (bytes[i - 1] === 0xff) return true;
  }
  return false;
}

/** Tag 0x0112 of the first directory of an EXIF block, with or without its "Exif\0\0"; 1 if there is none. */
export function orientationOf(block: Uint8Array): number {
  const bytes = ascii(block, 0, 6) === "Exif\0\0" ? block.subarray(6) : block;
  const order = ascii(bytes, 0, 4);
  if (order !== "II*\0" && order !== "MM\0*") return 1;
  const little = order === "II*\0";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const short = (at: number) => at + 2 <= bytes.length ? view.getUint16(at, little) : 0;
  if (bytes.length < 8) return 1;
  const start = view.getUint32(4, little);
  for (let i = 0, count = short(start); i < count; i++) {
    const at = start + 2 + i * 12;
    if (at + 12 > bytes.length) break;
    if (short(at) === 0x0112) {
      const value = short(at + 8);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}
