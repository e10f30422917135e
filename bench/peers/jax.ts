/**
 * `@jax-js/jax` on WebGPU or WebAssembly; with `--jit` under its compiler. Its arrays are counted by hand: using one gives it away, `ref`
 * keeps it. Operations wait in a list until their results are asked for, so results are kept until the queue has run.
 */
import type { Case, Operands } from "../cases.ts";
import { onCpu, openedDevice, type Peer, type Prepared, runPeer } from "../harness.ts";

interface JaxArray {
  readonly ref: JaxArray;
  reshape(shape: number[]): JaxArray;
  add(other: JaxArray): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray): JaxArray;
  mean(): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

type Tree = JaxArray | { [name: string]: JaxArray };
type Fn = (...args: never[]) => unknown;

interface Jax {
  init(): Promise<string[]>;
  defaultDevice(name: string): void;
  blockUntilReady(tree: unknown): Promise<unknown>;
  jit<F extends Fn>(f: F): F;
  grad<F extends Fn>(f: F): (...args: Parameters<F>) => Tree;
  readonly numpy: {
    array(data: Float32Array): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    square(x: JaxArray): JaxArray;
  };
  readonly lax: {
    convGeneralDilated(x: JaxArray, w: JaxArray, strides: number[], padding: "SAME"): JaxArray;
  };
  readonly nn: {
    relu(x: JaxArray): JaxArray;
    softmax(x: JaxArray, axis: number): JaxArray;
    standardize(x: JaxArray, axis: number, options: { epsilon: number }): JaxArray;
  };
}

// In a variable, so that checking this repository does not fetch the libraries it is compared with.
const VERSION = "0.1.25";
const specifier = `npm:@jax-js/jax@${VERSION}`;

const leaves = (tree: Tree): JaxArray[] =>
  "dispose" in tree ? [tree as JaxArray] : Object.values(tree as { [name: string]: JaxArray });

function prepare(
  jax: Jax,
  jit: boolean,
  c: Case,
  operands: Operands,
): Prepared<Tree> | undefined {
  const { numpy: np, nn, lax } = jax;
  const array = (name: string, ...shape: number[]) => np.array(operands[name]).reshape(shape);
  const compiled = <F extends Fn>(f: F): F => jit ? jax.jit(f) : f;
  const issuing = (issue: () => Tree): Prepared<Tree> => ({
    issue,
    keep: true,
    finish: async (results) => {
      await jax.blockUntilReady(results);
    },
    read: (result) => Promise.all(leaves(result).map((a) => a.ref.data())),
    release: (result) => leaves(result).forEach((a) => a.dispose()),
  });
  switch (c.kind) {
    case "matmul": {
      const a = array("a", c.n, c.n);
      const b = array("b", c.n, c.n);
      const f = compiled((a: JaxArray, b: JaxArray) => np.matmul(a, b));
      return issuing(() => f(a.ref, b.ref));
    }
    case "conv2d": {
      const x = array("x", c.batch, c.channels, c.height, c.width);
      const w = array("w", c.out, c.channels, c.window, c.window);
      const f = compiled((x: JaxArray, w: JaxArray) =>
        lax.convGeneralDilated(x, w, [1, 1], "SAME")
      );
      return issuing(() => f(x.ref, w.ref));
    }
    case "softmax": {
      const x = array("x", c.rows, c.columns);
      const f = compiled((x: JaxArray) => nn.softmax(x, -1));
      return issuing(() => f(x.ref));
    }
    case "layernorm": {
      const x = array("x", c.rows, c.columns);
      const g = array("g", c.columns);
      const b = array("b", c.columns);
      const f = compiled((x: JaxArray, g: JaxArray, b: JaxArray) =>
        nn.standardize(x, -1, { epsilon: 1e-5 }).mul(g).add(b)
      );
      return issuing(() => f(x.ref, g.ref, b.ref));
    }
    case "mlp-grad": {
      const x = array("x", c.batch, c.inputs);
      const y = array("y", c.batch, c.outputs);
      const w1 = array("w1", c.inputs, c.hidden);
      const b1 = array("b1", c.hidden);
      const w2 = array("w2", c.hidden, c.outputs);
      const b2 = array("b2", c.outputs);
      const loss = (p: Record<string, JaxArray>, x: JaxArray, y: JaxArray) => {
        const hidden = nn.relu(np.matmul(x, p.w1).add(p.b1));
        return np.square(np.matmul(hidden, p.w2).add(p.b2).sub(y)).mean();
      };
      const f = compiled(jax.grad(loss));
      return issuing(() => {
        const g = f({ w1: w1.ref, b1: b1.ref, w2: w2.ref, b2: b2.ref }, x.ref, y.ref);
        const { w1: dw1, b1: db1, w2: dw2, b2: db2 } = g as Record<string, JaxArray>;
        return { w1: dw1, b1: db1, w2: dw2, b2: db2 };
      });
    }
    case "step":
    case "sample":
      return undefined;
  }
}

if (import.meta.main) {
  const jit = Deno.args.includes("--jit");
  const peer: Peer = {
    library: `@jax-js/jax ${VERSION}`,
    async start() {
      const jax = await import(specifier) as Jax;
      await jax.init();
      jax.defaultDevice(onCpu() ? "wasm" : "webgpu");
      if (!onCpu()) openedDevice();
      return (c, operands) => Promise.resolve(prepare(jax, jit, c, operands));
    },
  };
  await runPeer(peer);
}
