/** A clock that moves when it is told to. */
export class FakeClock {
  #micros = 1_760_000_000_000_000;
  #timers = [];

  micros() {
    return this.#micros;
  }

  after(delayMillis, action) {
    const timer = { at: this.#micros + delayMillis * 1000, action };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  advance(millis) {
    const end = this.#micros + millis * 1000;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#micros = Math.max(this.#micros, due.at);
      due.action();
    }
    this.#micros = end;
  }
}
