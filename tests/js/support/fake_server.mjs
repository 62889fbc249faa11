import { deflateRawSync } from 'node:zlib';

export const MODES = [
  { index: 0, name: 'fast', state: 'ready', backend: 'selfie', model: 'selfie-256', labels: ['background', 'person'], palette: [[0, 0, 0], [9, 9, 9]], message: '' },
  { index: 1, name: 'balanced', state: 'ready', backend: 'deeplab', model: 'deeplabv3', labels: ['background', 'person'], palette: [[0, 0, 0], [9, 9, 9]], message: '' },
];

export const LIMITS = { jpeg_quality: 50, max_dimension_px: 640, max_in_flight: 2, min_frame_interval_millis: 33 };

/** The other end of every socket that a session opens; the test speaks for it. */
export class FakeServer {
  sockets = [];

  openSocket = (url, subprotocol) => {
    const socket = new FakeSocket(url, subprotocol);
    this.sockets.push(socket);
    return socket;
  };

  get socket() {
    return this.sockets.at(-1);
  }

  greet({ mode = 'fast', modes = structuredClone(MODES), limits = LIMITS, generation = 7 } = {}) {
    this.say({ type: 'hello', session: 's', version: '0.1.0', generation, mode, modes, limits });
  }

  say(message) {
    this.socket.onmessage({ data: JSON.stringify(message) });
  }

  /** Answers a frame, by default with a mask of 4x2 pixels of class 1. */
  answer(frameId, { payload = deflateRawSync(Buffer.from([8, 1])), mode = 0, generation = 7, flags = 0 } = {}) {
    const message = new Uint8Array(64 + payload.length);
    const view = new DataView(message.buffer);
    view.setUint8(0, 2);
    view.setUint8(1, 1);
    view.setUint8(2, flags);
    view.setUint8(3, mode);
    view.setUint32(4, frameId, true);
    view.setUint16(16, 4, true);
    view.setUint16(18, 2, true);
    view.setUint32(20, generation, true);
    message.set(payload, 64);
    this.socket.onmessage({ data: message.buffer });
  }

  drop(frameId, reason = 'superseded') {
    this.say({ type: 'dropped', frame_id: frameId, reason, message: '' });
  }

  /** The socket breaks. */
  hangUp() {
    this.socket.isOpen = false;
    this.socket.onclose({});
  }
}

class FakeSocket {
  onmessage = null;
  onclose = null;
  isOpen = true;
  texts = [];
  frames = [];

  constructor(url, subprotocol) {
    this.url = url;
    this.subprotocol = subprotocol;
  }

  send(message) {
    if (!this.isOpen) throw new Error('sent to a closed socket');
    if (typeof message === 'string') this.texts.push(JSON.parse(message));
    else this.frames.push(message);
  }

  textsOf(type) {
    return this.texts.filter((text) => text.type === type);
  }

  close() {
    this.isOpen = false;
  }
}
