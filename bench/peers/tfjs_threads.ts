/**
 * Lets tfjs's WebAssembly threads start in Deno. tfjs offers them to browsers only: it hands scripts to threads as blobs,
 * which `node:worker_threads` refuse, and starts one for every two cores. Here the scripts lie in files, what a thread of
 * Deno has of its own is not set again, and tfjs is told of twice the cores.
 */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** What a script of a thread sets, and Deno's threads have for good. */
const OWN = "location:{href:__filename},";

/**
 * To be called before tfjs is imported.
 *
 * @param main finds the file of tfjs's threaded WebAssembly module, once tfjs is imported
 * @returns how many threads to ask for
 */
export function allowThreads(main: () => string): number {
  const scripts = new WeakMap<Blob, string>();
  const Plain = globalThis.Blob;
  globalThis.Blob = class extends Plain {
    constructor(parts?: BlobPart[], options?: BlobPropertyBag) {
      super(parts, options);
      if (options?.type?.endsWith("javascript")) scripts.set(this, parts!.join(""));
    }
  };
  const folder = Deno.makeTempDirSync();
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  let files = 0;
  const fileOf = (blob: Blob): string => {
    const script = scripts.get(blob)!;
    if (script.startsWith("var WasmBackendModuleThreadedSimd")) return new URL(main()).pathname;
    const path = `${folder}/${files++}.cjs`;
    Deno.writeTextFileSync(path, script.replace(OWN, ""));
    return path;
  };
  const urlOf = URL.createObjectURL;
  URL.createObjectURL = (blob) =>
    scripts.has(blob as Blob) ? fileOf(blob as Blob) : urlOf(blob as Blob);

  const threads = require("node:worker_threads");
  threads.Worker = class extends threads.Worker {
    postMessage(message: { urlOrBlob?: Blob }, transfer?: unknown[]) {
      const { urlOrBlob: blob } = message;
      super.postMessage(
        blob && scripts.has(blob) ? { ...message, urlOrBlob: fileOf(blob) } : message,
        transfer,
      );
    }
  };
  const os = require("node:os");
  const cores = os.cpus();
  os.cpus = () => [...cores, ...cores];
  return cores.length;
}
