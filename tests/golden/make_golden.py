#!/usr/bin/env python3
"""Writes wire.json: golden bytes of `segue.v2`, for the tests of the server and of the page.

Written from DESIGN.md alone, with nothing but `struct` and `zlib`, so that neither side's code is the judge of itself.
Run it in this folder; the file is the same each time. What is in it:

- frames: whole frame messages, client to server. Decode `hex` to `fields`, write `fields` to the same bytes.
- results: result messages, header and payload. Decode `hex` to `fields`.
- masks: payloads with the size and flags of their header. Decode to `sha256` of the class ids in row order (and
  `confidence_sha256`); `runs`, the pairs of length and class id, are given where they are few. `previous` names the mask
  that a delta builds on. Encoders are free to compress otherwise: hold them to a round trip through the decoder.
- messages: text messages of both sides, each `text` with the `value` it parses to.
- bad_frames, bad_results, bad_masks: what a decoder must refuse; `why` is for people.

64-bit numbers are decimal strings, since JSON readers round them.
"""

import hashlib
import json
import struct
import zlib
from pathlib import Path

U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1
TRACE_ID = bytes(range(0x10, 0x20))
SPAN_ID = bytes(range(0xA0, 0xA8))
STAGES = ["queue", "decode", "preprocess", "infer", "postprocess", "encode", "total", "reserved"]


def frame(name, payload=b"\xff\xd8\xff\xd9", flags=0, frame_id=1, captured_at=1_760_000_000_000_000,
          encode_micros=1800, send_delay_micros=120, trace_id=TRACE_ID, span_id=SPAN_ID):
    header = struct.pack("<BBBBIQII", 1, 1, flags, 0, frame_id, captured_at, encode_micros, send_delay_micros)
    message = header + trace_id + span_id + payload
    assert len(message) == 48 + len(payload)
    return {
        "name": name,
        "hex": message.hex(),
        "fields": {
            "kind": 1, "codec": 1, "flags": flags, "keep_trace": bool(flags & 1), "frame_id": frame_id,
            "captured_at": str(captured_at), "encode_micros": encode_micros, "send_delay_micros": send_delay_micros,
            "trace_id": trace_id.hex(), "span_id": span_id.hex(), "payload": payload.hex(),
        },
    }


def result(name, payload=b"", encoding=1, flags=0, mode=0, frame_id=1, captured_at=1_760_000_000_000_000, width=640,
           height=360, generation=7, stages=(900, 700, 450, 8200, 600, 140, 11_300, 0), sent_at=1_760_000_000_050_000):
    header = struct.pack("<BBBBIQHHI8IQ", 2, encoding, flags, mode, frame_id, captured_at, width, height, generation,
                         *stages, sent_at)
    assert len(header) == 64
    return {
        "name": name,
        "hex": (header + payload).hex(),
        "fields": {
            "kind": 2, "encoding": encoding, "flags": flags, "delta": bool(flags & 1), "reused": bool(flags & 2),
            "mode": mode, "frame_id": frame_id, "captured_at": str(captured_at), "width": width, "height": height,
            "generation": generation, "stage_micros": dict(zip(STAGES, stages)), "server_sent_at": str(sent_at),
            "payload": payload.hex(),
        },
    }


def leb128(number):
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        if number == 0:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def deflate(raw):
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(raw) + compressor.flush()


def runs_of(ids):
    runs = []
    for value in ids:
        if runs and runs[-1][1] == value:
            runs[-1][0] += 1
        else:
            runs.append([1, value])
    return runs


def run_bytes(runs):
    return b"".join(leb128(length) + bytes([value]) for length, value in runs)


def mask(name, width, height, ids, classes, previous=None, confidence=None):
    """`previous` is the name and the class ids of the mask that the delta builds on."""
    assert len(ids) == width * height and max(ids) < classes
    sent = ids if previous is None else bytes(a ^ b for a, b in zip(ids, previous[1]))
    runs = runs_of(sent)
    payload = deflate(run_bytes(runs))
    if confidence is not None:
        payload = struct.pack("<I", len(payload)) + payload + deflate(confidence)
    case = {
        "name": name, "encoding": 1 if confidence is None else 3, "delta": previous is not None,
        "previous": previous and previous[0], "width": width, "height": height, "classes": classes,
        "hex": payload.hex(), "sha256": hashlib.sha256(ids).hexdigest(),
        "confidence_sha256": confidence and hashlib.sha256(confidence).hexdigest(),
    }
    if len(runs) <= 40:
        case["runs"] = runs
    return case


def disc(width, height, centre_x, centre_y, radius, value):
    return bytes(
        value if (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2 else 0
        for y in range(height) for x in range(width)
    )


def masks():
    before = disc(96, 54, 40, 27, 20, 15)
    after = disc(96, 54, 43, 28, 20, 15)
    edge = bytes(max(0, min(255, abs((x - 40) ** 2 + (y - 27) ** 2 - 400))) for y in range(54) for x in range(96))
    return [
        mask("runs", 8, 4, bytes([0] * 5 + [1] * 3 + [0] * 4 + [1] * 12 + [0] * 8), 2),
        mask("one_pixel", 1, 1, b"\x00", 2),
        mask("one_pixel_of_the_highest_class", 1, 1, b"\xff", 256),
        mask("run_lengths_around_each_leb128_step", 541, 64,
             bytes([1] * 127 + [2] * 128 + [3] * 129 + [4] * 16383 + [5] * 16384 + [6] * (541 * 64 - 33151)), 7),
        mask("single_class_640x360", 640, 360, bytes([15]) * (640 * 360), 21),
        mask("largest_size_of_one_class", 4096, 4096, bytes(4096 * 4096), 2),
        mask("alternating", 64, 16, bytes(x & 1 for x in range(64 * 16)), 2),
        mask("all_256_classes", 16, 16, bytes(range(256)), 256),
        mask("a_disc", 96, 54, before, 21),
        mask("the_disc_moved_as_a_delta", 96, 54, after, 21, previous=("a_disc", before)),
        mask("the_same_again_as_a_delta", 96, 54, before, 21, previous=("a_disc", before)),
        mask("soft_disc", 96, 54, before, 21, confidence=edge),
        mask("soft_one_pixel", 1, 1, b"\x01", 2, confidence=b"\x80"),
        mask("soft_delta", 96, 54, after, 21, previous=("a_disc", before), confidence=edge),
    ]


def bad_mask(name, payload, why, encoding=1, width=8, height=4, classes=2, delta=False):
    return {"name": name, "encoding": encoding, "delta": delta, "width": width, "height": height, "classes": classes,
            "hex": payload.hex(), "why": why}


def bad_masks():
    whole = deflate(run_bytes([[20, 0], [12, 1]]))
    plane = deflate(bytes(32))
    long_stream = deflate(run_bytes([[1, value & 1] for value in range(4096)]))
    length = struct.pack("<I", len(whole))
    return [
        bad_mask("empty_payload", b"", "no DEFLATE stream at all"),
        bad_mask("not_deflate", b"\xff" * 16, "block type 3 does not exist"),
        bad_mask("truncated_stream", long_stream[: len(long_stream) // 2], "the stream ends inside a block", width=64, height=64),
        bad_mask("runs_overflow", deflate(run_bytes([[20, 0], [13, 1]])), "33 of 32 pixels"),
        bad_mask("runs_overflow_by_far", deflate(run_bytes([[U32_MAX, 1]])), "a run of 4 billion pixels"),
        bad_mask("length_beyond_u32", deflate(b"\xff\xff\xff\xff\x7f\x01"), "35 bits of run length"),
        bad_mask("length_without_end", deflate(b"\x80" * 64), "the length never ends"),
        bad_mask("runs_fall_short", deflate(run_bytes([[20, 0], [11, 1]])), "31 of 32 pixels"),
        bad_mask("run_without_class", deflate(run_bytes([[20, 0]]) + leb128(12)), "the last run has no class id"),
        bad_mask("empty_run", deflate(run_bytes([[20, 0], [0, 1], [12, 0]])), "a run of no pixels: such streams could go on for ever"),
        bad_mask("class_out_of_range", deflate(run_bytes([[20, 0], [12, 2]])), "class 2 of 2 classes"),
        bad_mask("delta_without_previous", whole, "nothing to build on", delta=True),
        bad_mask("no_pixels", whole, "0 x 4", width=0),
        bad_mask("bomb", deflate(bytes(4_000_000)), "4 MB for 32 pixels"),
        bad_mask("soft_without_length", b"\x01\x00", "two bytes of a u32", encoding=3),
        bad_mask("soft_length_beyond_payload", struct.pack("<I", U32_MAX) + whole, "a length of 4 GB", encoding=3),
        bad_mask("soft_without_plane", length + whole, "no confidence plane", encoding=3),
        bad_mask("soft_plane_falls_short", length + whole + deflate(bytes(31)), "31 of 32 bytes", encoding=3),
        bad_mask("soft_plane_overflows", length + whole + deflate(bytes(33)), "33 of 32 bytes", encoding=3),
        bad_mask("unknown_encoding", whole + plane, "encoding 9", encoding=9),
    ]


LIMITS = {"jpeg_quality": 50, "max_dimension_px": 640, "max_in_flight": 2, "min_frame_interval_millis": 33}
MODES = [
    {"index": 0, "name": "fast", "state": "ready", "backend": "selfie", "model": "selfie-256",
     "labels": ["background", "person"], "palette": [[0, 0, 0], [64, 160, 255]], "message": "", "command": ""},
    {"index": 1, "name": "balanced", "state": "loading", "backend": "deeplab", "model": "deeplabv3-resnet50",
     "labels": ["background", "café <b>“sign”</b>"], "palette": [[0, 0, 0], [255, 255, 255]], "message": "warming up",
     "command": ""},
    {"index": 7, "name": "sota", "state": "unavailable", "backend": "mask2former", "model": "mask2former-swin-large",
     "labels": [], "palette": [], "message": "the weights are missing",
     "command": "segue models pull mask2former-swin-large --accept-licence"},
]


def messages():
    server = {
        "hello": {"type": "hello", "session": "s-1", "version": "0.1.0", "generation": 7, "profile": "default",
                  "mode": "fast", "modes": MODES, "limits": LIMITS},
        "limits": {"type": "limits", "generation": 8, "profile": "lan", **LIMITS, "jpeg_quality": 70},
        "mode_loading": {"type": "mode", "mode": "balanced", "index": 1, "state": "loading", "message": ""},
        "mode_ready": {"type": "mode", "mode": "balanced", "index": 1, "state": "ready", "message": ""},
        "mode_unavailable": {"type": "mode", "mode": "sota", "index": 7, "state": "unavailable",
                             "message": "the weights are missing"},
        "modes": {"type": "modes", "modes": MODES[:1]},
        "clock": {"type": "clock", "sent": 1_760_000_000_000_000, "received": 1_760_000_000_010_000,
                  "replied": 1_760_000_000_010_020},
        "error": {"type": "error", "code": "malformed_message", "message": "a text message is not JSON", "recoverable": True},
    }
    for reason in ["superseded", "expired", "overloaded", "rate_limited", "too_large", "undecodable", "backend_failed"]:
        server[f"dropped_{reason}"] = {"type": "dropped", "frame_id": U32_MAX, "reason": reason, "message": f"{reason}, in words"}
    client = {
        "mode": {"type": "mode", "mode": "balanced"},
        "view": {"type": "view", "soft_edge": True, "picture": None},
        "view_picture": {"type": "view", "soft_edge": False, "picture": "filled"},
        "clock": {"type": "clock", "sent": 1_760_000_000_000_000},
        "paint": {"type": "paint", "frame_id": 12, "received_at": 1_760_000_000_060_000,
                  "decoded_at": 1_760_000_000_062_000, "painted_at": 1_760_000_000_070_000},
        "stats": {"type": "stats"},
    }
    return {
        side: [{"name": name, "text": json.dumps(value, ensure_ascii=False, separators=(",", ":")), "value": value}
               for name, value in cases.items()]
        for side, cases in (("from_server", server), ("from_client", client))
    }


def bad_bytes(name, message, why):
    return {"name": name, "hex": message.hex(), "why": why}


def main():
    plain_frame = bytes.fromhex(frame("")["hex"])
    plain_result = bytes.fromhex(result("")["hex"])
    small = deflate(run_bytes([[20, 0], [12, 1]]))
    golden = {
        "frames": [
            frame("plain"),
            frame("trace_kept", flags=1),
            frame("server_makes_the_trace", trace_id=bytes(16), span_id=bytes(8)),
            frame("empty_payload", payload=b""),
            frame("everything_at_its_least", frame_id=0, captured_at=0, encode_micros=0, send_delay_micros=0,
                  trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x01"),
            frame("everything_at_its_most", flags=1, frame_id=U32_MAX, captured_at=U64_MAX, encode_micros=U32_MAX,
                  send_delay_micros=U32_MAX, trace_id=b"\xff" * 16, span_id=b"\xff" * 8, payload=bytes(range(256))),
            frame("bytes_in_order", frame_id=0x04030201, captured_at=0x0807060504030201, encode_micros=0x0C0B0A09,
                  send_delay_micros=0x100F0E0D),
        ],
        "results": [
            result("plain", payload=small, width=8, height=4),
            result("delta_and_reused", flags=3, mode=1),
            result("soft_mask", encoding=3, payload=b"\x01\x02\x03"),
            result("picture", encoding=2, payload=b"\xff\xd8\xff\xd9"),
            result("everything_at_its_least", frame_id=0, captured_at=0, width=1, height=1, generation=0, stages=(0,) * 8, sent_at=0),
            result("everything_at_its_most", flags=3, mode=255, frame_id=U32_MAX, captured_at=U64_MAX, width=65535,
                   height=65535, generation=U32_MAX, stages=(U32_MAX,) * 8, sent_at=U64_MAX),
            result("bytes_in_order", mode=3, frame_id=0x04030201, captured_at=0x0807060504030201, width=0x0201, height=0x0403,
                   generation=0x08070605, stages=tuple(0x01010101 * n for n in range(1, 9)), sent_at=0x1817161514131211),
        ],
        "masks": masks(),
        "messages": messages(),
        "bad_frames": [
            bad_bytes("empty", b"", "no header"),
            bad_bytes("short_header", plain_frame[:47], "47 of 48 bytes"),
            bad_bytes("kind_of_a_result", b"\x02" + plain_frame[1:], "clients send kind 1"),
            bad_bytes("unknown_codec", plain_frame[:1] + b"\x09" + plain_frame[2:], "codec 9"),
        ],
        "bad_results": [
            bad_bytes("empty", b"", "no header"),
            bad_bytes("short_header", plain_result[:63], "63 of 64 bytes"),
            bad_bytes("kind_of_a_frame", b"\x01" + plain_result[1:], "servers send kind 2"),
        ],
        "bad_masks": bad_masks(),
    }
    path = Path(__file__).with_name("wire.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert path.stat().st_size < 60_000, path.stat().st_size


if __name__ == "__main__":
    main()
