/** A stretch of time that a chart shows, in microseconds. Never changed: each step gives another. */
export class TimeWindow {
  /**
   * @param {number} from
   * @param {number} to
   */
  constructor(from, to) {
    this.from = from;
    this.to = to;
  }

  get span() {
    return this.to - this.from;
  }

  /**
   * @param {number} micros
   * @param {number} widthPx
   */
  xOf(micros, widthPx) {
    return ((micros - this.from) / this.span) * widthPx;
  }

  /**
   * @param {number} x
   * @param {number} widthPx
   */
  microsAt(x, widthPx) {
    return this.from + (x / widthPx) * this.span;
  }

  /**
   * The moment under the pointer stays where it is.
   *
   * @param {number} factor Above one shows less time.
   * @param {number} at A moment.
   * @param {number} [leastSpan]
   */
  zoom(factor, at, leastSpan = 1000) {
    const span = Math.max(leastSpan, this.span / factor);
    const share = (at - this.from) / this.span;
    return new TimeWindow(at - share * span, at + (1 - share) * span);
  }

  /** @param {number} micros Positive shows later times. */
  pan(micros) {
    return new TimeWindow(this.from + micros, this.to + micros);
  }

  /**
   * No longer than the bounds and, as far as it fits, inside them.
   *
   * @param {TimeWindow} bounds
   */
  within(bounds) {
    if (this.span >= bounds.span) return bounds;
    if (this.from < bounds.from) return this.pan(bounds.from - this.from);
    if (this.to > bounds.to) return this.pan(bounds.to - this.to);
    return this;
  }

  /**
   * Moved by as little as shows the stretch, or its beginning where it does not fit.
   *
   * @param {number} from
   * @param {number} to
   */
  showing(from, to) {
    const room = this.span * 0.05;
    if (from >= this.from && to <= this.to) return this;
    if (from < this.from || to - from > this.span - 2 * room) return this.pan(from - room - this.from);
    return this.pan(to + room - this.to);
  }
}
