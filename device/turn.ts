/** Letting the event loop turn between steps of long work, so that timers and signals get through. */

/**
 * Fulfilled when the event loop has turned once. A message to itself comes back in a tenth of a millisecond, where the
 * shortest timer takes two or more.
 */
export function turn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      // An open port would keep a script alive.
      port1.close();
      port2.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
