/** A thread that draws pictures into shared memory: see `pictures.ts`. */
import { renderShare, type RenderTask } from "./pictures.ts";

// The types of a worker's own scope and of a document's can't be loaded together.
const scope = self as unknown as {
  onmessage: (event: MessageEvent<RenderTask>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data }) => {
  renderShare(data);
  scope.postMessage("drawn");
};
