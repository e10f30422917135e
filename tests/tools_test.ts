// The wrappers of the tasks: a closing line that reads as passed when something failed would hide everything else.
import { assertEquals, assertMatch } from "@std/assert";
import {
  closingLine,
  devices,
  readTally,
  runsAlone,
  testFiles,
  threadsOfEach,
  total,
} from "../tools/test.ts";
import { NO_DRIVER, webgpuAnswers } from "./support/adapters.ts";

Deno.test("the summary of deno test is read, colours, steps and ignored tests included", () => {
  const green =
    "\x1b[0m\x1b[32mok\x1b[0m | 12 passed (3 steps) | 0 failed | 2 ignored \x1b[0m(4ms)\n";
  assertEquals(readTally(green), { passed: 12, failed: 0, skipped: 2 });
  const red = "x\n\nFAILED | 1 passed | 7 failed (2 steps) (1s)\n";
  assertEquals(readTally(red), { passed: 1, failed: 7, skipped: 0 });
  assertEquals(readTally("error: Type checking failed.\n"), undefined);
});

Deno.test("the last summary counts, not one that a test printed", () => {
  const out = "ok | 99 passed | 0 failed (1s)\nmore\nok | 3 passed | 0 failed (2s)\n";
  assertEquals(readTally(out)?.passed, 3);
});

Deno.test("a failing exit code never closes with 0 failed", () => {
  assertEquals(closingLine(undefined, 1), "0 passed, 1 failed");
  assertEquals(closingLine({ passed: 3, failed: 0, skipped: 0 }, 1), "3 passed, 1 failed");
  assertEquals(closingLine({ passed: 3, failed: 0, skipped: 0 }, 0), "3 passed, 0 failed");
  assertEquals(
    closingLine({ passed: 3, failed: 2, skipped: 1 }, 1),
    "3 passed, 2 failed, 1 skipped",
  );
});

Deno.test("two runs are counted as one, and files that change or measure the process run by themselves", async () => {
  const [a, b] = [{ passed: 3, failed: 0, skipped: 1 }, { passed: 2, failed: 4, skipped: 0 }];
  assertEquals(total([a, b]), { passed: 5, failed: 4, skipped: 1 });
  assertEquals(runsAlone("const before = Deno.cwd();\nDeno.chdir(folder);"), true);
  assertEquals(runsAlone("await Deno.readTextFile(path);"), false);
  const { together, alone } = await testFiles("tests");
  // By what stands in them, and in a support file.
  for (const name of ["cli_test", "device_choice_test"]) {
    assertEquals(alone.includes(`tests/${name}.ts`), name === "device_choice_test", name);
    assertEquals(together.includes(`tests/${name}.ts`), name === "cli_test", name);
  }
});

Deno.test("files that run side by side share the cores, and each has a thread", () => {
  const threads = [[1, 1], [2, 2], [2, 4], [4, 4], [7, 4], [16, 4], [3, 1]].map(([cores, jobs]) =>
    threadsOfEach(cores, jobs)
  );
  assertEquals(threads, [1, 1, 1, 1, 1, 4, 3]);
});

Deno.test("the suite runs on the CPU device, and on WebGPU too where an adapter answers; a chosen device is the only one", async () => {
  const answers = (yes: boolean) => () => Promise.resolve(yes);
  const both = await devices(undefined, answers(true));
  // Mesa's way to compile soon goes along with WebGPU, and is no one's who has chosen the CPU device.
  const soon = { GALLIVM_PERF: "nopt", LP_NATIVE_VECTOR_WIDTH: "128" };
  assertEquals(both, { env: { MOONGATE_DEVICE: "cpu", MOONGATE_TEST_ALSO: "webgpu", ...soon } });
  assertEquals((await devices("cpu", answers(true))).env, {});
  const { env, remark } = await devices(undefined, answers(false));
  assertEquals(env, { MOONGATE_DEVICE: "cpu" });
  assertMatch(remark!, /no adapter of WebGPU answers.*apt-get install mesa-vulkan-drivers/);
  const never = () => Promise.reject(new Error("nobody is to ask"));
  assertEquals(await devices("webgpu", never), {
    env: soon,
    remark: "on one device: MOONGATE_DEVICE=webgpu",
  });
});

/** What the last lines of a run are, without a driver, and what its tests see. */
async function lastLines(env: Record<string, string>): Promise<string[]> {
  const file = await Deno.makeTempFile({ suffix: "_test.ts" });
  const seen = `["MOONGATE_DEVICE", "MOONGATE_TEST_ALSO"].map((name) => Deno.env.get(name))`;
  await Deno.writeTextFile(file, `Deno.test("x", () => console.log("seen", ...${seen}));`);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/test.ts", file],
    env: { ...NO_DRIVER, NO_COLOR: "1", MOONGATE_TEST_ALSO: "", ...env },
  }).output();
  await Deno.remove(file);
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(code, 0, `${out}\n${err}`);
  return [...out.match(/^seen.*$/m) ?? [], ...out.trim().split("\n").slice(-2)];
}

Deno.test({
  name:
    "without an adapter, a line before the closing one says what was left out, and what to install",
  ignore: Deno.build.os !== "linux", // Elsewhere the driver is the system's.
  async fn() {
    const [seen, remark, closing] = await lastLines({ MOONGATE_DEVICE: "" });
    assertMatch(seen, /^seen cpu(?: undefined| )?$/);
    assertMatch(
      remark,
      /no adapter of WebGPU answers: .* left out on WebGPU\. .*mesa-vulkan-drivers/,
    );
    assertEquals(closing, "1 passed, 0 failed");
    const one = await lastLines({ MOONGATE_DEVICE: "webgpu" });
    assertMatch(one[0], /^seen webgpu/);
    assertEquals(one.slice(1), ["on one device: MOONGATE_DEVICE=webgpu", "1 passed, 0 failed"]);
  },
});

/** `tools/vulkan.ts` in an environment with this in it. */
async function vulkan(env: Record<string, string>, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/vulkan.ts", ...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  return { code, out, err };
}

Deno.test({
  name:
    "where no adapter answers and none can be installed, the launcher says what to install and starts nothing",
  ignore: Deno.build.os !== "linux",
  async fn() {
    // Root finds no apt-get on this path; everybody else may not use it.
    const none = { ...NO_DRIVER, PATH: "/none" };
    const { code, out, err } = await vulkan(none, "eval", "console.log('started')");
    assertEquals([code, out], [1, ""]);
    assertMatch(
      err.split("\n").at(-1)!,
      /no adapter of WebGPU answers\. Install.*mesa-vulkan-drivers/,
    );
  },
});

Deno.test({
  name:
    "where an adapter answers, the launcher runs what it is given, hands its code on, and without arguments does nothing",
  ignore: !await webgpuAnswers(),
  async fn() {
    const ran = await vulkan({}, "eval", "console.log('started'); Deno.exit(7)");
    assertEquals([ran.code, ran.out], [7, "started"]);
    assertEquals(await vulkan({}), { code: 0, out: "", err: "" });
  },
});
