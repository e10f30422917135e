// Long work that lets the event loop turn: what is due gets through, and nothing is left open.
import { assert } from "@std/assert";
import { turn } from "../device/turn.ts";

const work = (ms: number) => {
  for (const since = performance.now(); performance.now() - since < ms;);
};

Deno.test({
  name: "timers and signals get through between steps that let the event loop turn",
  sanitizeOps: true,
  sanitizeResources: true,
  async fn() {
    let timers = 0, signals = 0;
    const timer = setInterval(() => timers++, 5);
    const signalled = () => void signals++;
    Deno.addSignalListener("SIGUSR2", signalled);
    for (let step = 0; step < 40 && !(timers > 3 && signals); step++) {
      if (step === 2) Deno.kill(Deno.pid, "SIGUSR2");
      work(5);
      await turn();
    }
    clearInterval(timer);
    Deno.removeSignalListener("SIGUSR2", signalled);
    assert(timers > 3, `${timers} of a timer's calls in 40 steps`);
    assert(signals > 0, "the signal did not get through");
  },
});
