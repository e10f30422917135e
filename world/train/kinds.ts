/**
 * Made-up kinds of thing in the training of the UNet (see `world/kinds.ts`). Where a caption names one, the text encoder
 * is given the kind's own vector, as a new concept's V* will be given: so the keys and values learn to ask for any shape
 * in any colours. Words of a large text encoder have vectors that are alike where what they name is; these are
 * principal components of the kinds' portraits.
 */
import { svd } from "../../numerics/svd.ts";
import { kindScene, PORTRAIT, renderPortrait } from "../mod.ts";

/** Size of the vectors: the deviation, over all kinds, of their first component. */
const SIZE = 0.2;

/**
 * A row of the token table for each kind: its portrait's principal components, small ones enlarged (their deviations
 * are as the roots of what they are in the portraits). Where there are fewer components than columns, the rest is zero.
 *
 * @returns `[kinds, width]`
 */
export function kindRows(kinds: number, width: number): Float32Array {
  const portraits = Array.from(
    { length: kinds },
    (_, kind) => renderPortrait(kindScene(kind, 0).things[0]),
  );
  const cols = 3 * PORTRAIT ** 2;
  const data = new Float64Array(kinds * cols);
  for (let c = 0; c < cols; c++) {
    const mean = portraits.reduce((sum, portrait) => sum + portrait[c], 0) / kinds;
    portraits.forEach((portrait, kind) => data[kind * cols + c] = (portrait[c] - mean) / 127.5);
  }
  const { s, U } = svd({ rows: kinds, cols, data }, width);
  const rows = new Float32Array(kinds * width);
  for (let i = 0; i < U.rows && s[i] > 0; i++) {
    const size = SIZE * Math.sqrt(kinds * s[i] / s[0]);
    for (let kind = 0; kind < kinds; kind++) {
      rows[kind * width + i] = size * U.data[i * kinds + kind];
    }
  }
  return rows;
}
