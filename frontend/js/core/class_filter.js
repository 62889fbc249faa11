/** Which classes the user wants to see, by label. A solo counts where the mode has that class. */
export class ClassFilter {
  /**
   * @param {readonly string[]} hidden
   * @param {string} only Shown alone; or empty.
   */
  constructor(hidden, only) {
    this.hidden = new Set(hidden);
    this.only = only;
  }

  /**
   * @param {string} label
   * @param {readonly string[]} labels All of the mode's.
   */
  shows(label, labels) {
    return this.only !== '' && labels.includes(this.only) ? label === this.only : !this.hidden.has(label);
  }

  /**
   * @param {readonly string[]} labels All of the mode's.
   * @returns {Set<string>} Those that are not drawn.
   */
  hiddenOf(labels) {
    return new Set(labels.filter((label) => !this.shows(label, labels)));
  }
}
