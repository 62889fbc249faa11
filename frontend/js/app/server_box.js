/**
 * @import { Settings } from '../core/settings.js'
 * @import { Stream } from './stream.js'
 */

import { serverAddress } from '../core/server_address.js';
import { find } from './find.js';

/** Which server pictures go to: the page's own, or one that the user types. A link may only propose another. */
export class ServerBox {
  #settings;
  #stream;
  #input = find('server', HTMLInputElement);
  #problem = find('server-problem');
  #proposal = find('proposal');

  /**
   * @param {Settings} settings
   * @param {Stream} stream
   */
  constructor(settings, stream) {
    this.#settings = settings;
    this.#stream = stream;
    this.#input.value = settings.now.server;
    find('server-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#use(this.#input.value);
    });
    find('disconnect').addEventListener('click', () => stream.close());
    stream.changed.subscribe(() => (find('disconnect').hidden = stream.state.phase === 'closed'));
    find('proposal-accept').addEventListener('click', () => this.#answer(settings.proposedServer));
    find('proposal-refuse').addEventListener('click', () => this.#answer(null));
    this.#propose();
  }

  /** Opens the stream to the server that is chosen. */
  open() {
    this.#stream.open(serverAddress(this.#settings.now.server, location.href) ?? serverAddress('', location.href) ?? '');
  }

  /** Whether the server is the one that the page came from. */
  get isOwn() {
    return serverAddress(this.#settings.now.server, location.href) === serverAddress('', location.href);
  }

  /** @param {string} typed */
  #use(typed) {
    const address = serverAddress(typed, location.href);
    const problem = this.#problemOf(address);
    this.#problem.textContent = problem;
    if (problem !== '') return;
    this.#settings.set('server', typed.trim());
    this.open();
  }

  /** @param {string | null} address */
  #problemOf(address) {
    if (address === null) return 'That is no address. Write it as in lab.example:8080 or wss://lab.example.';
    if (location.protocol === 'https:' && address.startsWith('ws:')) return 'A page on https reaches servers on https only: write wss:// before the name.';
    return '';
  }

  #propose() {
    const proposed = this.#settings.proposedServer;
    this.#proposal.hidden = proposed === '';
    const host = serverAddress(proposed, location.href);
    find('proposal-text').textContent = `This link asks you to send your pictures to ${host ? new URL(host).host : proposed}.`;
  }

  /** @param {string | null} server */
  #answer(server) {
    this.#settings.proposedServer = '';
    this.#proposal.hidden = true;
    if (server === null) return;
    this.#input.value = server;
    this.#use(server);
  }
}
