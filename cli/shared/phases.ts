/** Work that the library counts by name (components that are loaded, pictures that are encoded), as a bar for each name. */
import type { Ui } from "./ui.ts";

/** Shows one phase after the other; the first report of each is where it begins. */
export function phases(
  { progress }: Pick<Ui, "progress">,
  labelOf: (name: string) => string,
): (name: string, done: number, total: number) => void {
  let current: string | undefined;
  return (name, done, total) => {
    if (name !== current) progress.start(labelOf(name), total, { done });
    else progress.update(done);
    current = done < total ? name : undefined;
    if (current === undefined) progress.stop();
  };
}

/** Components of a model that is loaded. */
export const loading = (ui: Pick<Ui, "progress">): ReturnType<typeof phases> =>
  phases(ui, (component) => `load ${component}`);

/** Work that has but one name. */
export const counting = (
  ui: Pick<Ui, "progress">,
  label: string,
): (done: number, total: number) => void => {
  const show = phases(ui, () => label);
  return (done, total) => show(label, done, total);
};
