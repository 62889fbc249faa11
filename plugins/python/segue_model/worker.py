"""The worker's side of a process that the server started: answers one call after the other.

Frames and masks lie in memory that both map; an eventfd says that a call begins, another that it has ended. The first page
says what the call is about: the numbers below are those of `Control` in the server's `plugin_host/worker/shared.rs`.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

_REQUEST = struct.Struct("=2I2III2QQQQQQ")
"""Frame's width and height, mask's, wants confidence, trace flags, trace id, span id, session, sequence, captured, number."""
_CANCELLED = struct.Struct("=Q")
_CANCELLED_AT, _ANSWERED_AT, _ANSWER_AT, _REASON_AT = 80, 88, 96, 116
_ANSWER = struct.Struct("=iIIII")
"""Status, microseconds of three stages, length of the reason."""
_REASON_LEN = 2048
_FRAME_AT = 4096
_FRAME_LEN = 3 * 268_435_456
_PLANE_LEN = 4096 * 4096
_LABELS_AT = _FRAME_AT + _FRAME_LEN
_LEN = _LABELS_AT + 2 * _PLANE_LEN

_OK, _FAILED, _CANCELLED_STATUS = 0, 1, 2

_TRIAL_SIZE = (360, 640)


def run(setup_fd: int, memory_fd: int, request_fd: int, response_fd: int) -> None:
    """Loads the model, says what it is, and answers until the server ends."""
    # What a model prints goes to the server's log.
    sys.stdout = sys.stderr
    with os.fdopen(setup_fd, "rb") as file:
        setup = json.load(file)
    server = socket.socket(fileno=0)
    try:
        served = _Served(setup["spec"], memory_fd)
        ready = {"Ok": {"info": served.info, "confined": setup["confined"]}}
    except BaseException as error:  # noqa: BLE001
        ready = {"Err": _why_not(error)}
    message = json.dumps(ready).encode()
    server.sendall(struct.pack("<I", len(message)) + message)
    if "Err" in ready:
        return
    cores = os.sched_getaffinity(0)
    # What was loaded stays: no collection has to look at it.
    gc.collect()
    gc.freeze()
    while True:
        os.eventfd_read(request_fd)
        # The server had this process wake up on its own core; from here on it may run wherever there is room.
        os.sched_setaffinity(0, cores)
        served.answer()
        os.eventfd_write(response_fd, 1)


def _why_not(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "numpy":
        return (
            f"the Python {sys.executable} has no numpy: install it there, name another one by `python`, "
            "or name the model's packages by `requirements`"
        )
    from .model_file import Unusable, full, told

    short, way = told(error), full(error)
    return short if isinstance(error, Unusable) or "\n" not in way else f"{short}\n{way}"


class _Served:
    """A loaded model, and the memory that it shares with the server."""

    def __init__(self, spec: dict[str, Any], memory_fd: int) -> None:
        import numpy as np

        import segue_model

        from .masks import fill
        from .model_file import Unusable, classes, load_class

        if spec["weights"] is None:
            raise Unusable('the catalog\'s entry names no file: file = "mine.py"')
        source, named = Path(spec["weights"]["path"]), Path(spec["weights"]["original"])
        segue_model.settings.update(json.loads(spec["settings_json"]))
        segue_model.folder = named.parent
        segue_model.max_threads = spec["max_threads"]
        self._numpy, self._call, self._fill = np, segue_model._call, fill
        self._memory = mmap.mmap(memory_fd, _LEN)
        self._views: tuple[Any, ...] = (None,)
        self._call.cancelled = self._is_cancelled
        self._number = 0
        self._model = load_class(source, named)()
        if callable(getattr(self._model, "load", None)):
            self._model.load()
        labels, palette = classes(self._model, spec["classes"])
        self._classes = len(labels)
        self._try_out()
        self.info = {
            "labels": labels,
            "palette": palette,
            "input_size_px": None,
            "has_confidence": True,
            "memory_bytes": 0,
        }

    def _try_out(self) -> None:
        """Segments a grey frame: what the first one would pay for is paid, and a wrong mask is told before it serves."""
        np = self._numpy
        labels, confidence = np.empty(_TRIAL_SIZE, np.uint8), np.empty(_TRIAL_SIZE, np.uint8)
        frame = np.full((*_TRIAL_SIZE, 3), 127, np.uint8)
        self._fill(self._model.segment(frame), self._classes, labels, confidence)
        if labels.max() >= self._classes:
            raise ValueError(f"segment gave class {labels.max()}, and the model has {self._classes} labels")

    def _is_cancelled(self) -> bool:
        return _CANCELLED.unpack_from(self._memory, _CANCELLED_AT)[0] == self._number

    def _view(self, width: int, height: int, mask_width: int, mask_height: int) -> tuple[Any, ...]:
        sizes = (width, height, mask_width, mask_height)
        if self._views[0] != sizes:
            np, pixels = self._numpy, mask_width * mask_height
            if 3 * width * height > _FRAME_LEN or pixels > _PLANE_LEN:
                raise ValueError("the call is larger than the shared memory")
            frame = np.frombuffer(self._memory, np.uint8, 3 * width * height, _FRAME_AT)
            planes = [
                np.frombuffer(self._memory, np.uint8, pixels, at).reshape(mask_height, mask_width)
                for at in (_LABELS_AT, _LABELS_AT + _PLANE_LEN)
            ]
            self._views = (sizes, frame.reshape(height, width, 3), *planes)
        return self._views

    def answer(self) -> None:
        """Answers the call that the first page describes."""
        memory, call = self._memory, self._call
        (width, height, mask_width, mask_height, wants_confidence, flags, *rest) = _REQUEST.unpack_from(memory, 0)
        trace_high, trace_low, span, _session, _sequence, _captured, self._number = rest
        swap = 0 if not span else int.from_bytes(struct.pack("=Q", span), "big")
        trace = int.from_bytes(struct.pack("=2Q", trace_high, trace_low), "big")
        call.trace, call.stages = (trace, swap, flags), [0, 0, 0]
        status, reason = _OK, b""
        try:
            _, frame, labels, confidence = self._view(width, height, mask_width, mask_height)
            start = time.perf_counter_ns()
            result = self._model.segment(frame)
            segmented = time.perf_counter_ns()
            self._fill(result, self._classes, labels, confidence if wants_confidence else None)
            if not any(call.stages):
                call.stages[1] = segmented - start
            call.stages[2] += time.perf_counter_ns() - segmented
        except BaseException as error:  # noqa: BLE001
            status, reason = self._failed(error)
        stages = [min(nanos // 1000, 0xFFFF_FFFF) for nanos in call.stages]
        memory[_REASON_AT : _REASON_AT + len(reason)] = reason
        _ANSWER.pack_into(memory, _ANSWER_AT, status, *stages, len(reason))
        _CANCELLED.pack_into(memory, _ANSWERED_AT, self._number)

    def _failed(self, error: BaseException) -> tuple[int, bytes]:
        if self._is_cancelled():
            return _CANCELLED_STATUS, b""
        from .model_file import full, told

        print(full(error), file=sys.stderr)
        return _FAILED, told(error).encode(errors="replace")[:_REASON_LEN]
