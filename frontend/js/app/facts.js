/** @import { Stream } from './stream.js' */

import { find } from './find.js';

/** Who answers, by which configuration, and how far away. */
export class Facts {
  #model = find('model');
  #profile = find('profile-name');
  #generation = find('generation');
  #version = find('server-version');
  #roundTrip = find('round-trip');

  /** @param {Stream} stream */
  show({ mode, limits, generation, state, pulse }) {
    const roundTrip = pulse?.roundTripMicros ?? null;
    this.#model.textContent = mode ? `${mode.name} · ${mode.model || mode.backend}` : '–';
    this.#profile.textContent = state.profile ? `${state.profile} · ` : '';
    this.#generation.textContent = limits ? String(generation) : '–';
    this.#version.textContent = state.serverVersion || '–';
    this.#roundTrip.textContent = roundTrip === null ? '–' : `${(roundTrip / 1000).toFixed(1)} ms away`;
  }
}
