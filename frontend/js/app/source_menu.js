/**
 * @import { Settings } from '../core/settings.js'
 * @import { SourceChoice } from './sources/source.js'
 */

import { find } from './find.js';

/** Cameras, a screen, a file: where the pictures come from. A file may also be dropped onto the page. */
export class SourceMenu {
  #settings;
  #onChosen;
  #select = find('source', HTMLSelectElement);
  #fileInput = find('file', HTMLInputElement);
  /** @type {SourceChoice} */
  #choice;
  /** @type {File | null} */
  #file = null;

  /**
   * @param {Settings} settings
   * @param {{ onChosen: () => void, onDevices: () => void }} listeners
   */
  constructor(settings, { onChosen, onDevices }) {
    this.#settings = settings;
    this.#onChosen = onChosen;
    this.#choice = { kind: 'camera', deviceId: settings.now.camera };
    this.#select.addEventListener('change', () => this.#choose(this.#select.value));
    this.#fileInput.addEventListener('change', () => this.#takeFile(this.#fileInput.files?.[0]));
    navigator.mediaDevices?.addEventListener('devicechange', async () => {
      await this.refresh();
      onDevices();
    });
    this.#listenForDrops();
    this.#render([]);
    void this.refresh();
  }

  /** What to open. */
  get choice() {
    return this.#choice;
  }

  /** Lists the cameras anew: their names are told only once the user has allowed one. */
  async refresh() {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    this.#render(devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId !== ''));
  }

  /** @param {string} deviceId The camera that is on. */
  showCamera(deviceId) {
    if (this.#choice.kind !== 'camera') return;
    this.#choice = { kind: 'camera', deviceId };
    void this.refresh();
  }

  /** @param {string} value */
  #choose(value) {
    if (value === 'file') {
      this.#fileInput.value = '';
      this.#fileInput.click();
      // Until there is a file the choice is what it was.
      this.#select.value = this.#valueOfChoice;
      return;
    }
    if (value === 'screen') this.#choice = { kind: 'screen' };
    else if (value === 'last-file' && this.#file) this.#choice = { kind: 'file', file: this.#file };
    else {
      this.#choice = { kind: 'camera', deviceId: value };
      this.#settings.set('camera', value);
    }
    this.#onChosen();
  }

  /** @param {File | undefined} file */
  #takeFile(file) {
    if (!file) return;
    this.#file = file;
    this.#choice = { kind: 'file', file };
    void this.refresh();
    this.#onChosen();
  }

  /** Anywhere: what falls beside the stage would take the page's place. */
  #listenForDrops() {
    window.addEventListener('dragover', (event) => event.preventDefault());
    window.addEventListener('drop', (event) => {
      event.preventDefault();
      this.#takeFile(event.dataTransfer?.files[0]);
    });
  }

  get #valueOfChoice() {
    if (this.#choice.kind === 'file') return 'last-file';
    return this.#choice.kind === 'screen' ? 'screen' : this.#choice.deviceId;
  }

  /** @param {MediaDeviceInfo[]} cameras */
  #render(cameras) {
    const value = this.#valueOfChoice;
    const options = cameras.map(({ deviceId, label }, position) => optionOf(deviceId, label || `Camera ${position + 1}`));
    const isCamera = this.#choice.kind === 'camera';
    const isUnlisted = isCamera ? !cameras.some(({ deviceId }) => deviceId === value) : cameras.length === 0;
    if (isUnlisted) options.unshift(optionOf(isCamera ? value : '', 'Camera'));
    if (navigator.mediaDevices && 'getDisplayMedia' in navigator.mediaDevices) options.push(optionOf('screen', 'A screen or window'));
    if (this.#file) options.push(optionOf('last-file', this.#file.name));
    options.push(optionOf('file', this.#file ? 'Another file…' : 'A video or picture…'));
    this.#select.replaceChildren(...options);
    this.#select.value = value;
  }
}

/**
 * @param {string} value
 * @param {string} text
 */
function optionOf(value, text) {
  const option = document.createElement('option');
  option.value = value;
  option.textContent = text;
  return option;
}
