/**
 * @import { Operator } from '../core/operator.js'
 * @import { Attempt } from '../core/reloads.js'
 */

import { standingInWords } from './operator_words.js';
import { part, texts } from './part.js';

const MOST_FAULTS = 3;

/** Over the stage, for whoever holds the admin token: an edit or a build that was refused and that nobody has mended yet. */
export class StandingAlert {
  #root;
  #alert;
  #operator;
  #shown = '';

  /**
   * @param {(id: string) => HTMLElement} element
   * @param {Operator} operator
   * @param {() => void} onShow The operator wants to see all of it.
   */
  constructor(element, operator, onShow) {
    this.#root = element('standing');
    this.#alert = element('standing-alert');
    this.#operator = operator;
    element('standing-show').addEventListener('click', onShow);
    operator.changed.subscribe(() => this.#render());
  }

  #render() {
    const { standing } = this.#operator;
    // Built anew only when it says something new: each time it is read aloud.
    const key = standing ? `${standing.number} ${standing.at}` : '';
    if (key === this.#shown) return;
    this.#shown = key;
    this.#root.hidden = standing === null;
    this.#alert.replaceChildren(...(standing ? this.#partsOf(standing) : []));
  }

  /** @param {Attempt} standing */
  #partsOf(standing) {
    const lines = standing.faults.slice(0, MOST_FAULTS);
    const more = standing.faults.length - lines.length;
    if (more > 0) lines.push(`and ${more} more`);
    return [part('b', '', standingInWords(standing)), texts('faults', lines)];
  }
}
