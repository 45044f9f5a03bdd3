/** Files for the page: let fall anywhere on it, or chosen by buttons, which need no mouse. */
import { byId } from "./dom.ts";
import { filesOfDrop, filesOfInput } from "./dropped.ts";
import type { FoundFile } from "./evidence.ts";

const CHOOSERS = [
  ["choose-files", "files"],
  ["choose-folder", "folder"],
] as const;

/** @param drop shows that something is held over the page */
export function listenForFiles(
  drop: HTMLElement,
  accept: (found: Promise<readonly FoundFile[]>) => void,
): void {
  for (const type of ["dragenter", "dragover"])
    addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer) accept(filesOfDrop(event.dataTransfer));
  });
  for (const [button, input] of CHOOSERS) {
    const chooser = byId(input, HTMLInputElement);
    byId(button, HTMLButtonElement).addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      accept(Promise.resolve(filesOfInput(chooser)));
      // So that the same file can be chosen again, once it was changed.
      chooser.value = "";
    });
  }
}
