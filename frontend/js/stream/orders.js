/**
 * What page and worker tell each other. Everything is plain data: it crosses by structured clone.
 *
 * @import { Phase } from '../core/connection.js'
 * @import { FrameSettings } from '../core/frame_pump.js'
 * @import { Snapshot } from '../core/frame_stats.js'
 * @import { Limits, Mode } from '../core/messages.js'
 * @import { Notice } from '../core/session.js'
 *
 * @typedef {{ do: 'open', url: string }} Open Also moves to another server.
 * @typedef {{ do: 'close' }} Close
 * @typedef {{ do: 'retry' }} Retry
 * @typedef {{ do: 'mode', mode: string }} ChooseMode
 * @typedef {{ do: 'soft-edge', isOn: boolean }} SoftEdge
 * @typedef {{ do: 'keep-trace' }} KeepTrace The trace of the frame that is sent next.
 * @typedef {{ do: 'begin', readable: ReadableStream<VideoFrame> | null, leastIntervalMillis: number }} Begin Frames come
 *   from `readable`, or from the page, each when it is asked for one.
 * @typedef {{ do: 'offer', picture: ImageBitmap, capturedAt: number, takenAt: number }} Offer
 * @typedef {{ do: 'fail', reason: string }} Fail The page could not give the frame that it was asked for.
 * @typedef {{ do: 'end' }} End
 * @typedef {{ do: 'pause', isPaused: boolean }} Pause
 * @typedef {{ do: 'pin', settings: FrameSettings | null }} Pin Quality and size by hand, or automatic again.
 * @typedef {{ do: 'compare', mode: string | null }} Compare
 * @typedef {{ do: 'painted', frameId: number, paintedAt: number }} Painted
 * @typedef {{ do: 'keep-frames', most: number }} KeepFrames For debugging: the JPEGs of the last frames come along with results.
 * @typedef {Open | Close | Retry | ChooseMode | SoftEdge | KeepTrace | Begin | Offer | Fail | End | Pause | Pin | Compare | Painted | KeepFrames} Order
 *
 * @typedef {object} StreamState What changes seldom.
 * @property {Phase} phase
 * @property {boolean} hasServed
 * @property {number} retryAt Microseconds of the page's clock.
 * @property {Mode[]} modes
 * @property {string} mode The one that answers; empty before the first hello.
 * @property {string} pendingMode Asked for and not serving yet; or empty.
 * @property {Limits | null} limits
 * @property {number} generation
 * @property {string} profile
 * @property {string} serverVersion
 * @property {{ mode: string, phase: Phase, state: string, message: string } | null} rival The mode that is compared with.
 *
 * @typedef {object} Pulse What changes all the time, some times a second.
 * @property {Snapshot} snapshot
 * @property {number} inFlight
 * @property {number | null} roundTripMicros
 * @property {QualityNow} quality
 * @property {import('../core/stage_times.js').StageShare[]} stages
 * @property {import('../core/stream_diagnosis.js').Diagnosis} diagnosis
 * @property {Comparison | null} comparison
 *
 * @typedef {{ kind: 'fixed' | 'adapting' | 'pinned', reason: string, settings: FrameSettings | null }} QualityNow
 * @typedef {{ agreement: number | null, medianMillis: (number | null)[] }} Comparison Of the last seconds; latency from
 *   capture to mask, of the mode and of the one that it is compared with.
 *
 * @typedef {object} Layer
 * @property {number} mode Number of the mode's description, which came with this layer or one before it.
 * @property {Mode} [description]
 * @property {{ widthPx: number, heightPx: number, classIds: Uint8Array, confidence: Uint8Array | null }} mask
 * @property {number} encoding Of the result, as in the wire protocol.
 *
 * @typedef {object} Shown One frame's result.
 * @property {number} frameId
 * @property {number} capturedAt
 * @property {number} generation
 * @property {ImageBitmap | null} picture The very picture that was segmented.
 * @property {Layer} layer
 * @property {Layer | null} other Of the mode that is compared with.
 * @property {Uint8Array} [jpeg] As it was sent, when frames are kept.
 *
 * @typedef {{ tell: 'state', state: StreamState }} TellState
 * @typedef {{ tell: 'pulse', pulse: Pulse }} TellPulse
 * @typedef {{ tell: 'shown', shown: Shown }} TellShown
 * @typedef {{ tell: 'notice', notice: Notice }} TellNotice
 * @typedef {{ tell: 'dropped', reason: string, message: string }} TellDropped
 * @typedef {{ tell: 'trace-asked', traceId: string }} TellTraceAsked
 * @typedef {{ tell: 'configured' }} TellConfigured The server said anew what it is configured to.
 * @typedef {{ tell: 'frame-wanted' }} TellFrameWanted
 * @typedef {{ tell: 'failed', reason: string }} TellFailed No frames come any more.
 * @typedef {TellState | TellPulse | TellShown | TellNotice | TellDropped | TellTraceAsked | TellConfigured | TellFrameWanted | TellFailed} Tale
 *
 * @typedef {(tale: Tale, transfer?: Transferable[]) => void} Tell
 */

export {};
