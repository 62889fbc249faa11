/**
 * @import { Settings } from '../core/settings.js'
 * @import { ViewName } from '../paint/scene.js'
 */

import { find } from './find.js';

/** In the order of the menu. @type {readonly { name: ViewName, label: string, hasOpacity?: boolean }[]} */
export const VIEWS = [
  { name: 'filled', label: 'Filled', hasOpacity: true },
  { name: 'contour', label: 'Contour' },
  { name: 'side-by-side', label: 'Beside', hasOpacity: true },
  { name: 'blend', label: 'Blend' },
  { name: 'cut-out', label: 'Cutout' },
];

/** How the mask is drawn, as the user wants it. */
export class ViewPanel {
  #settings;
  /** @type {HTMLInputElement[]} */
  #views;
  #opacityRow = find('opacity-row');
  #opacity = find('opacity', HTMLInputElement);
  #opacityOutput = find('opacity-output');
  #backdropRow = find('backdrop-row');
  #backdrop = find('backdrop', HTMLSelectElement);
  #colour = find('colour', HTMLInputElement);
  #chooseFile = find('backdrop-file');
  #file = find('backdrop-picture', HTMLInputElement);
  #over = find('over', HTMLSelectElement);
  #softEdge = find('soft-edge', HTMLInputElement);
  #labels = find('label-names', HTMLInputElement);
  #mirror = find('mirror', HTMLInputElement);
  #isSelfView = true;
  #onPicture;

  /**
   * @param {Settings} settings
   * @param {(file: File) => void} onPicture A picture was chosen for the background.
   */
  constructor(settings, onPicture) {
    this.#settings = settings;
    this.#onPicture = onPicture;
    this.#views = VIEWS.map((view) => this.#buildView(view));
    this.#opacity.addEventListener('input', () => settings.set('opacity', Number(this.#opacity.value) / 100));
    this.#backdrop.addEventListener('change', () => this.#chooseBackdrop());
    this.#colour.addEventListener('input', () => settings.set('colour', this.#colour.value));
    this.#chooseFile.addEventListener('click', () => this.#file.click());
    this.#file.addEventListener('change', () => this.#takeFile());
    this.#over.addEventListener('change', () => settings.set('over', this.#over.value === 'live' ? 'live' : 'frame'));
    this.#softEdge.addEventListener('change', () => settings.set('softEdge', this.#softEdge.checked));
    this.#labels.addEventListener('change', () => settings.set('labels', this.#labels.checked));
    this.#mirror.addEventListener('change', () => settings.set('mirror', this.#mirror.checked));
    settings.changed.subscribe(() => this.#render());
    this.#render();
  }

  get isMirrored() {
    return this.#settings.now.mirror ?? this.#isSelfView;
  }

  /** @param {boolean} isSelfView Whether the source wants to be mirrored. */
  setSelfView(isSelfView) {
    this.#isSelfView = isSelfView;
    this.#render();
  }

  nextView() {
    const at = VIEWS.findIndex(({ name }) => name === this.#settings.now.view);
    this.#settings.set('view', VIEWS[(at + 1) % VIEWS.length].name);
  }

  toggleOver() {
    this.#settings.set('over', this.#settings.now.over === 'live' ? 'frame' : 'live');
  }

  toggleLabels() {
    this.#settings.set('labels', !this.#settings.now.labels);
  }

  toggleMirror() {
    this.#settings.set('mirror', !this.isMirrored);
  }

  /** @param {{ name: ViewName, label: string }} view */
  #buildView({ name, label }) {
    const segment = document.createElement('label');
    segment.className = 'segment';
    const input = document.createElement('input');
    input.type = 'radio';
    input.name = 'view';
    input.value = name;
    input.addEventListener('change', () => this.#settings.set('view', name));
    const title = document.createElement('span');
    title.textContent = label;
    segment.append(input, title);
    find('views').append(segment);
    return input;
  }

  #chooseBackdrop() {
    const backdrop = /** @type {import('../core/settings.js').BackdropName} */ (this.#backdrop.value);
    this.#settings.set('backdrop', backdrop);
    if (backdrop === 'picture' && !this.#file.files?.length) this.#file.click();
  }

  #takeFile() {
    const file = this.#file.files?.[0];
    if (file) this.#onPicture(file);
  }

  #render() {
    const { view, opacity, backdrop, colour, over, softEdge, labels } = this.#settings.now;
    for (const input of this.#views) input.checked = input.value === view;
    const hasOpacity = VIEWS.some(({ name, hasOpacity: has }) => name === view && has);
    this.#opacityRow.hidden = !hasOpacity;
    this.#opacity.value = String(Math.round(opacity * 100));
    this.#opacityOutput.textContent = `${Math.round(opacity * 100)} %`;
    this.#backdropRow.hidden = view !== 'cut-out';
    this.#backdrop.value = backdrop;
    this.#colour.value = colour;
    this.#colour.hidden = backdrop !== 'colour';
    this.#chooseFile.hidden = backdrop !== 'picture';
    this.#over.value = over;
    this.#softEdge.checked = softEdge;
    this.#labels.checked = labels;
    this.#mirror.checked = this.isMirrored;
  }
}
