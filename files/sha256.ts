/** The one hash by which contents are told apart. */

/** SHA-256 in hexadecimal. */
export async function sha256(content: ArrayBuffer | ArrayBufferView): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", content as BufferSource);
  return new Uint8Array(hash).toHex();
}
