/** The one hash by which contents are told apart. */

import { hexOf } from "./bytes.ts";

/** SHA-256 in hexadecimal. */
export async function sha256(content: ArrayBuffer | ArrayBufferView): Promise<string> {
  // Found out by a page that comes by plain http.
  if (!globalThis.crypto?.subtle) {
    throw new Error("there is no crypto.subtle here: let the page come by https or from localhost");
  }
  const hash = await crypto.subtle.digest("SHA-256", content as BufferSource);
  return hexOf(new Uint8Array(hash));
}
