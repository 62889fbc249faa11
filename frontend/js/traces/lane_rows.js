/** @import { Layout } from './lanes.js' */

const TITLE_PX = 20;
const TOP_PX = 4;
const BELOW_PX = 6;

/** How lanes and the titles of their sessions stand below each other, and how far they are scrolled. */
export class LaneRows {
  #scrollPx = 0;
  /** Lanes before which a title stands. @type {number[]} */
  #titled = [];
  #lanes = 0;

  /** @param {number} lanePx */
  constructor(lanePx) {
    this.lanePx = lanePx;
  }

  get isScrolled() {
    return this.#scrollPx > 0;
  }

  /** Where lanes have no titles: the first that is in sight. */
  get firstLane() {
    return Math.floor(this.#scrollPx / this.lanePx);
  }

  /** @param {Layout} layout */
  setLayout(layout) {
    this.#lanes = layout.lanes.length;
    this.#titled = layout.groups.map((group) => group.lane);
  }

  /** @param {number} lane */
  topOf(lane) {
    const titles = this.#titled.filter((one) => one <= lane).length;
    return TOP_PX + lane * this.lanePx + titles * TITLE_PX - this.#scrollPx;
  }

  /**
   * @param {number} y
   * @returns {number} -1 where there is none, as on a title.
   */
  laneAt(y) {
    if (this.#titled.length === 0) return Math.floor((y - this.topOf(0)) / this.lanePx);
    for (let lane = 0; lane < this.#lanes; lane += 1) if (y >= this.topOf(lane) && y < this.topOf(lane) + this.lanePx) return lane;
    return -1;
  }

  /**
   * @param {number} px Down is positive.
   * @param {number} heightPx Of what is in sight.
   */
  scroll(px, heightPx) {
    const contentPx = TOP_PX + this.#lanes * this.lanePx + this.#titled.length * TITLE_PX + BELOW_PX;
    this.#scrollPx = Math.max(0, Math.min(contentPx - heightPx, this.#scrollPx + px));
  }

  /**
   * Newer lanes came above: what was the first in sight stays there.
   *
   * @param {number} lane Where it is now.
   * @param {number} heightPx
   */
  keepFirst(lane, heightPx) {
    this.scroll((lane - this.firstLane) * this.lanePx, heightPx);
  }

  /**
   * @param {number} lane
   * @param {number} heightPx
   */
  bringIntoSight(lane, heightPx) {
    const top = this.topOf(lane);
    const lowest = heightPx - 2 * this.lanePx;
    if (top < TITLE_PX) this.scroll(top - TITLE_PX, heightPx);
    else if (top > lowest) this.scroll(top - lowest, heightPx);
  }
}
