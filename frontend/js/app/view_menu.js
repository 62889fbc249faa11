/** @import { View } from './views/all_views.js' */

/** The views, one chosen, each with its own strength. */
export class ViewMenu {
  #views;
  #inputs;
  #slider;
  #output;
  #onChosen;
  #onStrength;
  #chosen = 0;

  /**
   * @param {{ group: HTMLElement, slider: HTMLInputElement, output: HTMLElement, views: View[] }} parts
   * @param {{ onChosen: (view: View) => void, onStrength: (strength: number) => void }} listeners
   */
  constructor({ group, slider, output, views }, { onChosen, onStrength }) {
    this.#views = views;
    this.#slider = slider;
    this.#output = output;
    this.#onChosen = onChosen;
    this.#onStrength = onStrength;
    this.#inputs = views.map((view, position) => {
      const label = document.createElement('label');
      label.className = 'segment';
      const input = document.createElement('input');
      input.type = 'radio';
      input.name = 'view';
      input.value = view.name;
      input.addEventListener('change', () => this.#choose(position));
      const title = document.createElement('span');
      title.textContent = view.label;
      label.append(input, title);
      group.append(label);
      return input;
    });
    slider.addEventListener('input', () => {
      this.#views[this.#chosen].strength = Number(slider.value) / 100;
      this.#applyStrength();
    });
    this.#choose(0);
  }

  next() {
    this.#choose((this.#chosen + 1) % this.#views.length);
  }

  /** @param {number} position */
  #choose(position) {
    this.#chosen = position;
    this.#inputs[position].checked = true;
    this.#slider.value = String(Math.round(this.#views[position].strength * 100));
    this.#onChosen(this.#views[position]);
    this.#applyStrength();
  }

  #applyStrength() {
    this.#output.textContent = `${this.#slider.value} %`;
    this.#onStrength(Number(this.#slider.value) / 100);
  }
}
