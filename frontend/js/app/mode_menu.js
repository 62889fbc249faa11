/**
 * @import { Mode } from '../core/messages.js'
 * @import { Stream } from './stream.js'
 *
 * @typedef {{ label: HTMLLabelElement, input: HTMLInputElement, detail: HTMLElement, state: HTMLElement, mend: CommandLine }} Row
 */

import { CommandLine } from './command_line.js';
import { part } from './part.js';

const STATE_WORDS = { ready: '', loading: 'loading', unavailable: 'unavailable' };

/** The server's modes, the serving one checked. It shows what the server says, not what was clicked. */
export class ModeMenu {
  #group;
  #stream;
  #onChosen;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} group
   * @param {Stream} stream
   * @param {(mode: string) => void} onChosen
   */
  constructor(group, stream, onChosen) {
    this.#group = group;
    this.#stream = stream;
    this.#onChosen = onChosen;
    stream.changed.subscribe(() => this.#render());
  }

  /** @param {number} position Counted from one. */
  choose(position) {
    const mode = this.#stream.modes[position - 1];
    if (mode && mode.state !== 'unavailable' && this.#stream.isOpen) this.#onChosen(mode.name);
  }

  #render() {
    const { modes, mode: current, pendingMode, isOpen } = this.#stream;
    const names = modes.map((mode) => mode.name);
    if (names.join('\n') !== [...this.#rows.keys()].join('\n')) {
      this.#rows = new Map(names.map((name, position) => [name, this.#buildRow(name, position + 1)]));
      this.#group.replaceChildren(...[...this.#rows.values()].map((row) => row.label));
    }
    const chosen = pendingMode ?? current;
    for (const mode of modes) {
      const row = this.#rows.get(mode.name);
      if (row) renderRow(row, mode, mode === chosen, isOpen, mode === pendingMode);
    }
  }

  /**
   * @param {string} name
   * @param {number} position
   * @returns {Row}
   */
  #buildRow(name, position) {
    const label = document.createElement('label');
    label.className = 'choice';
    const input = document.createElement('input');
    input.type = 'radio';
    input.name = 'mode';
    input.value = name;
    if (position <= 9) input.setAttribute('aria-keyshortcuts', String(position));
    input.addEventListener('change', () => this.#onChosen(name));
    const title = part('span', 'choice-title', name);
    const state = part('span', 'choice-state');
    const detail = part('span', 'choice-detail');
    const mend = new CommandLine();
    label.append(input, title, state, detail, mend.element);
    return { label, input, detail, state, mend };
  }
}

/**
 * @param {Row} row
 * @param {Mode} mode
 * @param {boolean} isChosen
 * @param {boolean} isOpen
 * @param {boolean} isPending
 */
function renderRow(row, mode, isChosen, isOpen, isPending) {
  row.input.checked = isChosen;
  row.input.disabled = !isOpen || mode.state === 'unavailable';
  row.label.dataset.state = isPending ? 'loading' : mode.state;
  const isInstalled = mode.command === '';
  row.state.textContent = isPending ? STATE_WORDS.loading : isInstalled ? STATE_WORDS[mode.state] : 'not installed';
  const isBroken = mode.state === 'unavailable' && mode.message !== '' && isInstalled;
  row.detail.textContent = isBroken ? mode.message : mode.model || mode.backend;
  row.label.title = mode.message;
  row.mend.show(mode.command);
}
