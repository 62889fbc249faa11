/** @typedef {{ value: string, text: string }} Choice */

/**
 * Brings a select to these choices; built anew only when they are others, so that an open one stays open.
 *
 * @param {HTMLSelectElement} select
 * @param {Choice[]} choices
 * @param {string} value
 */
export function choicesInto(select, choices, value) {
  const known = [...select.options].map((option) => `${option.value}\t${option.text}`).join('\n');
  if (known !== choices.map((choice) => `${choice.value}\t${choice.text}`).join('\n')) {
    select.replaceChildren(...choices.map((choice) => new Option(choice.text, choice.value)));
  }
  if (select.value !== value) select.value = value;
}
