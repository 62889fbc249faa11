import { find } from '../app/find.js';

/** Where capsules come in: a file that is chosen, or dropped anywhere on the page. */
export class CapsuleDoor {
  #input = find('capsule-file', HTMLInputElement);
  #sign = find('drop-here');
  #onFile;
  #abort = new AbortController();

  /** @param {(file: File) => void} onFile */
  constructor(onFile) {
    this.#onFile = onFile;
    const { signal } = this.#abort;
    this.#input.addEventListener('change', () => this.#choose(), { signal });
    document.addEventListener('dragover', (event) => this.#hover(event), { signal });
    document.addEventListener('dragleave', (event) => event.relatedTarget === null && this.#setSign(false), { signal });
    document.addEventListener('drop', (event) => this.#drop(event), { signal });
  }

  close() {
    this.#abort.abort();
  }

  #choose() {
    const file = this.#input.files?.[0];
    this.#input.value = ''; // The same file may be chosen again.
    if (file) this.#onFile(file);
  }

  /** @param {DragEvent} event */
  #hover(event) {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    this.#setSign(true);
  }

  /** @param {DragEvent} event */
  #drop(event) {
    const file = event.dataTransfer?.files[0];
    this.#setSign(false);
    if (!file) return;
    event.preventDefault();
    this.#onFile(file);
  }

  /** @param {boolean} isShown */
  #setSign(isShown) {
    this.#sign.hidden = !isShown;
  }
}
