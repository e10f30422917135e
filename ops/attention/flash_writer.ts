/**
 * Writes the WGSL of flash attention kernels. A kernel keeps rows of one side (q and its cotangent, or k and v) and
 * walks over columns of the other. Thread (tx, ty) has rows ty + 16·i of the tile and columns tx + TX·j, and
 * accumulates vectors tx + TX·j of the width. The writer knows at every point which piece of which matrix each tile of
 * workgroup memory holds, so it loads only what is missing and puts barriers only where data changes hands.
 */
import { type BufferUse, type Dispatch, size } from "../../tensor/kernel.ts";
import { entry, type Problem, repeat } from "./problem.ts";
import { COLUMNS, pitch, tileColumns, tileRows, type Tiling, TY } from "./tiles.ts";

export { COLUMNS as COLUMNS_OF_THREAD } from "./tiles.ts";

/** Names of matrices, which are those of their buffers. */
type Matrix = "Q" | "K" | "V" | "G";

/** Which side is kept and which is walked over. */
export interface Sides {
  readonly rows: "q" | "k";
  readonly rowMatrices: readonly Matrix[];
  readonly columnMatrices: readonly Matrix[];
}

/** One chunk of one matrix, and the tile where it belongs. */
interface Piece {
  readonly tile: string;
  readonly matrix: Matrix;
  readonly chunk: number;
  readonly rows: boolean;
}

/**
 * Vectors of the width up to which products are written out: their places in tiles are literals then, and half of the
 * instructions go. Of wider rows kernels would be so large that drivers take minutes.
 */
const UNROLLED = 20;

/** A u32 literal, or a variable, and some more. */
const plus = (c: string, more: number): string =>
  /^\d+u$/.test(c) ? `${parseInt(c) + more}u` : `${c} + ${more}u`;

/** Accumulates the body of one kernel. */
export class FlashWriter {
  readonly #lines: string[] = [];
  readonly #shared: string[] = [];
  /** For each tile, the matrix and chunk that it holds at this point. */
  readonly #held = new Map<string, string>();
  /** Tiles read since the last barrier: slower threads may still be reading them. */
  readonly #read = new Set<string>();
  /** Whether workgroup memory was written since the last barrier. */
  #written = false;
  #bytes = 0;

  /**
   * @param splits parts into which the columns are cut, a workgroup for each, where they may be cut: it accumulates a part
   */
  constructor(
    readonly p: Problem,
    readonly t: Tiling,
    readonly sides: Sides,
    readonly splits?: number,
  ) {
    const own = t.chunks === 1;
    const columnTiles = t.ownColumns ? sides.columnMatrices : sides.columnMatrices.slice(0, 1);
    for (const m of own ? sides.rowMatrices : sides.rowMatrices.slice(0, 1)) {
      this.#tile(`ROWS_${m}`, tileRows(t), t.chunk);
    }
    for (const m of columnTiles) this.#tile(`COLUMNS_${m}`, tileColumns(t), t.chunk);
    this.#tile("WEIGHTS", tileRows(t), t.TX);
    if (own) this.#need(sides.rowMatrices.map((m) => this.#piece(m, 0)));
  }

  #tile(name: string, rows: number, vectors: number): void {
    this.shared(
      name,
      `array<array<vec4<f32>, ${pitch(vectors)}>, ${rows}>`,
      rows * pitch(vectors) * 16,
    );
  }

  /** Declares workgroup memory. */
  shared(name: string, type: string, bytes: number): void {
    this.#shared.push(`var<workgroup> ${name}: ${type};`);
    this.#bytes += bytes;
  }

  /** Adds a statement that writes workgroup memory. */
  write(text: string): void {
    this.#lines.push(text);
    this.#written = true;
  }

  /** Adds what `make` gives for 0 … n−1. */
  each(n: number, make: (i: number) => string): void {
    this.#lines.push(repeat(n, make));
  }

  /** Everything written to workgroup memory before is visible after, and everything read before may be overwritten. */
  barrier(): void {
    this.#lines.push("workgroupBarrier();");
    this.#written = false;
    this.#read.clear();
  }

  /** The loop over tiles of columns. */
  overColumns(body: () => void): void {
    const { p, t, sides } = this;
    const step = tileColumns(t);
    // Causal: queries meet keys up to the last of their tile, keys meet queries from their own tile on.
    let from = p.causal && sides.rows === "k" ? `row0 / ${step}u * ${step}u` : "0u";
    let to = p.causal && sides.rows === "q" ? `min(OTHERS, row0 + ${tileRows(t)}u)` : "OTHERS";
    if (this.splits !== undefined) {
      const columns = sides.rows === "q" ? p.S : p.T;
      const per = Math.ceil(columns / this.splits / step) * step;
      this.#lines.push(`let part = wid.z * ${size(per, "per")};`);
      [from, to] = [`max(${from}, part)`, `min(${to}, part + ${size(per, "per")})`];
    }
    this.#lines.push(`for (var column0 = ${from}; column0 < ${to}; column0 += ${step}u) {`);
    // Columns change with every turn, and slower threads may still be in the turn before.
    for (const tile of this.#held.keys()) {
      if (t.chunks > 1 || tile.startsWith("COLUMNS")) this.#held.delete(tile);
    }
    for (const m of [...sides.rowMatrices, ...sides.columnMatrices]) {
      this.#read.add(this.#piece(m, 0).tile);
    }
    this.#read.add("WEIGHTS");
    if (t.ownColumns) this.#need(sides.columnMatrices.map((m) => this.#piece(m, 0)));
    body();
    this.#lines.push("}");
  }

  #piece(
    matrix: Matrix,
    chunk: number,
  ): { tile: string; matrix: Matrix; chunk: number; rows: boolean } {
    const { rowMatrices, columnMatrices } = this.sides;
    const rows = rowMatrices.includes(matrix);
    const tile = rows
      ? `ROWS_${this.t.chunks === 1 ? matrix : rowMatrices[0]}`
      : `COLUMNS_${this.t.ownColumns ? matrix : columnMatrices[0]}`;
    return { tile, matrix, chunk, rows };
  }

  /** Loads those pieces that their tiles do not hold yet, and lets all threads see what was written. */
  #need(pieces: readonly Piece[]): void {
    const missing = pieces.filter((x) => this.#held.get(x.tile) !== `${x.matrix}${x.chunk}`);
    if (missing.some((x) => this.#read.has(x.tile))) this.barrier();
    for (const x of missing) {
      this.#load(x, `${x.chunk * this.t.chunk}u`);
      this.#held.set(x.tile, `${x.matrix}${x.chunk}`);
    }
    if (this.#written) this.barrier();
  }

  /** Loads vectors `from` … `from + chunk` of a matrix; what does not exist is zero. */
  #load({ tile, matrix, rows }: Piece, from: string): void {
    const { p, t } = this;
    const count = rows ? tileRows(t) : tileColumns(t);
    const [start, extent] = rows ? ["row0", "ROWS"] : ["column0", "OTHERS"];
    const vectors = p.D / 4;
    const inside = t.chunk * t.chunks > vectors ? ` & (${from} + d < ${vectors}u)` : "";
    this.write(`for (var e = lid; e < ${count * t.chunk}u; e += ${t.TX * TY}u) {
  let r = e / ${t.chunk}u; let d = e % ${t.chunk}u;
  var x = vec4<f32>();
  if ((${start} + r < ${extent})${inside}) {
    x = vec4<f32>(${matrix}[((b * ${extent} + ${start} + r) * H + h) * ${vectors}u + ${from} + d]);
  }
  ${tile}[r][d] = x;
}`);
  }

  /** Dot products of the tile's rows and columns: f32 variables `name{i}_{j}`. */
  products(name: string, rows: Matrix, columns: Matrix): void {
    const { t } = this;
    const vectors = this.p.D / 4;
    const left = this.#piece(rows, 0);
    const right = this.#piece(columns, 0);
    this.each(t.RM, (i) => repeat(COLUMNS, (j) => `var ${name}${i}_${j} = 0.0;`, " "));
    if (t.chunks === 1) {
      this.#need([left, right]);
      this.#multiply(name, left, right, vectors);
    } else {
      // A loop rather than a chunk after the other: the wider the rows, the longer drivers would take to compile.
      this.#lines.push(`for (var from_ = 0u; from_ < ${vectors}u; from_ += ${t.chunk}u) {`);
      this.barrier();
      this.#load(left, "from_");
      this.#load(right, "from_");
      this.barrier();
      const inChunk = vectors % t.chunk ? `min(${t.chunk}u, ${vectors}u - from_)` : t.chunk;
      this.#multiply(name, left, right, inChunk);
      this.#lines.push("}");
      this.#held.delete(left.tile);
      this.#held.delete(right.tile);
    }
    this.#read.add(left.tile).add(right.tile);
  }

  #multiply(name: string, left: Piece, right: Piece, vectors: number | string): void {
    this.#along(
      "d",
      vectors,
      (d) =>
        `${repeat(COLUMNS, (j) => `let c${j} = ${right.tile}[cx${j}][${d}];`, " ")}
${
          repeat(this.t.RM, (i) =>
            `{ let r = ${left.tile}[ry${i}][${d}];\n${
              repeat(COLUMNS, (j) => {
                const x = `${name}${i}_${j}`;
                const c = `c${j}`;
                return `${x} = fma(r.x, ${c}.x, fma(r.y, ${c}.y, fma(r.z, ${c}.z, fma(r.w, ${c}.w, ${x}))));`;
              })
            } }`)
        }`,
    );
  }

  /**
   * `body` for 0 … count − 1: written out where that is short, since the places in tiles are literals then, else a loop.
   *
   * @param count a number, or a WGSL expression
   * @param work vectors that a turn reads of the width
   */
  #along(index: string, count: number | string, body: (i: string) => string, work = 1): void {
    if (typeof count === "number" && Math.max(count * work, this.p.D / 4) <= UNROLLED) {
      for (let i = 0; i < count; i++) this.#lines.push(`{\n${body(`${i}u`)}\n}`);
      return;
    }
    const end = typeof count === "number" ? `${count}u` : count;
    const loop = `for (var ${index} = 0u; ${index} < ${end}; ${index}++)`;
    this.#lines.push(`${loop} {\n${body(index)}\n}`);
  }

  /** Statements for every score; `ok` tests whether it exists and is allowed (undefined where all do). */
  scores(make: (i: number, j: number, ok: string | undefined) => string): void {
    const { p, t, sides } = this;
    const columns = sides.rows === "q" ? p.S : p.T;
    const test = (i: number, j: number) => {
      const [row, column] = [`row0 + ry${i}`, `column0 + cx${j}`];
      const tests = [
        ...(columns % tileColumns(t) ? [`(${column} < OTHERS)`] : []),
        ...(p.causal
          ? [sides.rows === "q" ? `(${column} <= ${row})` : `(${row} <= ${column})`]
          : []),
      ];
      return tests.length ? tests.join(" & ") : undefined;
    };
    this.each(t.RM, (i) => repeat(COLUMNS, (j) => make(i, j, test(i, j))));
  }

  /** Stores the tile of weights: thread column tx holds columns tx + TX·j as the lanes of one vector. */
  weights(value: (i: number, j: number) => string): void {
    if (this.#read.has("WEIGHTS")) this.barrier();
    const lanes = (i: number) => repeat(COLUMNS, (j) => value(i, j), ", ");
    this.write(repeat(this.t.RM, (i) => `WEIGHTS[ry${i}][tx] = vec4<f32>(${lanes(i)});`));
  }

  /** Adds weights · matrix to the accumulators `name{i}_{j}`. */
  accumulate(name: string, columns: Matrix): void {
    const { t } = this;
    const perChunk = t.chunk / t.TX;
    for (let chunk = 0; chunk < t.chunks; chunk++) {
      const piece = this.#piece(columns, chunk);
      this.#need([piece]);
      this.#read.add(piece.tile).add("WEIGHTS");
      const n = Math.min(perChunk, t.NJ - chunk * perChunk);
      this.#along(
        "c",
        t.TX,
        (c) =>
          `${
            repeat(
              COLUMNS,
              (q) =>
                repeat(
                  n,
                  (j) => `let v${q}_${j} = ${piece.tile}[${plus(c, q * t.TX)}][tx + ${j * t.TX}u];`,
                  " ",
                ),
            )
          }
${
            repeat(t.RM, (i) =>
              `{ let w = WEIGHTS[ry${i}][${c}];\n${
                repeat(n, (j) => {
                  const x = `${name}${i}_${chunk * perChunk + j}`;
                  return `${x} = fma(w.xxxx, v0_${j}, fma(w.yyyy, v1_${j}, fma(w.zzzz, v2_${j}, fma(w.wwww, v3_${j}, ${x}))));`;
                })
              } }`)
          }`,
        n,
      );
    }
  }

  /** Stores the accumulators of the rows that exist. */
  storeRows(make: (i: number, j: number, at: string) => string): void {
    const { p, t } = this;
    const vectors = p.D / 4;
    this.each(t.RM, (i) =>
      `if (row0 + ry${i} < ROWS) {
  let out = ${
        this.splits !== undefined
          ? `wid.z * ${size(p.B * (this.sides.rows === "q" ? p.T : p.S) * p.H * vectors, "all")} + `
          : ""
      }((b * ROWS + row0 + ry${i}) * H + h) * ${vectors}u + tx;
  ${
        repeat(t.NJ, (j) => {
          const store = make(i, j, `out + ${j * t.TX}u`);
          return (j + 1) * t.TX > vectors
            ? `if (tx + ${j * t.TX}u < ${vectors}u) { ${store} }`
            : store;
        })
      }
}`);
  }

  /** The finished dispatch; `operations` are those per score and unit of width, 2 for each matrix product. */
  dispatch(label: string, operations: number, buffers: readonly BufferUse[]): Dispatch {
    const { p, t, sides } = this;
    if (this.#bytes !== t.bytes) {
      throw new Error(
        `${label}: ${this.#bytes} bytes of workgroup memory declared, ${t.bytes} planned`,
      );
    }
    const [rows, others] = sides.rows === "q" ? [p.T, p.S] : [p.S, p.T];
    const body = `${this.#shared.join("\n")}
${entry(t.TX * TY)}
let T = ${size(p.T)}; let H = ${size(p.H)}; let ROWS = ${size(rows)}; let OTHERS = ${size(others)};
let tx = lid % ${t.TX}u; let ty = lid / ${t.TX}u;
let row0 = wid.x * ${tileRows(t)}u; let b = wid.y / H; let h = wid.y % H;
${repeat(t.RM, (i) => `let ry${i} = ty + ${TY * i}u;`, " ")}
${repeat(COLUMNS, (j) => `let cx${j} = tx + ${t.TX * j}u;`, " ")}
${this.#lines.join("\n")}
}`;
    const grid: [number, number, number] = [
      Math.ceil(rows / tileRows(t)),
      p.B * p.H,
      this.splits ?? 1,
    ];
    return { label, buffers, body, grid, flops: operations * p.B * p.H * p.T * p.S * p.D };
  }
}
