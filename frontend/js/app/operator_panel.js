/**
 * @import { Operator } from '../core/operator.js'
 */

import { OperatorError } from '../core/operator_error.js';
import { deedInWords, outcomeInWords, problemInWords, signInInWords } from './operator_words.js';
import { part, texts } from './part.js';
import { ReloadList } from './reload_list.js';

/** For whoever holds the admin token: the profile in force, another in its place, and what became of each reload. */
export class OperatorPanel {
  #operator;
  #details;
  #summary;
  #signIn;
  #token;
  #problem;
  #desk;
  #profile;
  #generation;
  #profiles;
  #outcome;
  #reloads;
  #shownOutcome = '';

  /**
   * @param {typeof import('./find.js').find} find
   * @param {Operator} operator
   */
  constructor(find, operator) {
    this.#operator = operator;
    this.#details = find('operator', HTMLDetailsElement);
    this.#summary = find('operator-summary');
    this.#signIn = find('sign-in');
    this.#token = find('token', HTMLInputElement);
    this.#problem = find('operator-problem');
    this.#desk = find('desk');
    this.#profile = find('profile');
    this.#generation = find('profile-generation');
    this.#profiles = find('profiles', HTMLSelectElement);
    this.#outcome = find('outcome');
    this.#reloads = new ReloadList(find('reloads'));
    onSubmit(this.#signIn, () => operator.signIn(this.#token.value));
    onSubmit(find('use-profile'), () => operator.useProfile(this.#profiles.value));
    find('read-again').addEventListener('click', () => operator.readAgain());
    find('forget-token').addEventListener('click', () => this.#forget());
    operator.changed.subscribe(() => this.#render());
    this.#render();
  }

  /** Opens it and goes there. */
  show() {
    this.#details.open = true;
    this.#summary.focus();
    this.#details.scrollIntoView({ block: 'nearest' });
  }

  #forget() {
    this.#operator.forget();
    this.#token.focus();
  }

  #render() {
    const { phase, problem, admission, reloads } = this.#operator;
    const isIn = phase === 'in';
    if (isIn) this.#token.value = '';
    const hadFocus = this.#signIn.contains(document.activeElement);
    this.#signIn.hidden = isIn;
    this.#desk.hidden = !isIn;
    if (isIn && hadFocus) this.#profiles.focus();
    setText(this.#problem, signInInWords(phase, problem));
    if (!admission || !reloads) return;
    setText(this.#generation, String(reloads.generation));
    this.#renderProfiles(admission.profile, admission.profiles);
    this.#renderOutcome();
    this.#reloads.show(reloads.attempts);
  }

  /**
   * The choice follows the profile in force when that changes, and is left alone while the operator chooses.
   *
   * @param {string} profile
   * @param {string[]} names
   */
  #renderProfiles(profile, names) {
    const before = this.#profiles.value;
    const known = [...this.#profiles.options].map((option) => option.value);
    if (known.join('\n') !== names.join('\n')) {
      this.#profiles.replaceChildren(...names.map((name) => new Option(name, name)));
      this.#profiles.value = names.includes(before) ? before : profile;
    }
    if (this.#profile.textContent !== profile) this.#profiles.value = profile;
    setText(this.#profile, profile);
  }

  #renderOutcome() {
    const { deed, outcome } = this.#operator;
    const parts = deed ? [part('p', 'muted', deedInWords(deed))] : outcomeParts(outcome);
    const said = parts.map((one) => one.textContent).join('\n');
    if (said === this.#shownOutcome) return;
    this.#shownOutcome = said;
    this.#outcome.replaceChildren(...parts);
  }
}

/** @param {Operator['outcome']} outcome */
function outcomeParts(outcome) {
  if (outcome === null) return [];
  if (outcome instanceof OperatorError) return [part('p', 'problem', problemInWords(outcome))];
  const words = part('p', outcome.outcome === 'rejected' ? 'problem' : '', outcomeInWords(outcome));
  return outcome.faults.length > 0 ? [words, texts('faults', outcome.faults)] : [words];
}

/**
 * @param {HTMLElement} form
 * @param {() => void} action
 */
function onSubmit(form, action) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
}

/**
 * Only when it is another: what is set anew is read aloud anew.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
