"""What a model in Python can ask while it runs under Segue.

A model is one file with one class::

    import numpy as np

    class Bright:
        labels = ["background", "bright"]

        def load(self) -> None:
            self.limit = 128

        def segment(self, frame: np.ndarray) -> np.ndarray:
            return (frame.mean(axis=2) > self.limit).astype(np.uint8)

``segment`` gets the frame, (height, width, 3) bytes of red, green and blue, and returns one of

- class ids: whole numbers of shape (height, width);
- scores: floats of shape (classes, height, width), of any size, the larger the likelier. They are enlarged before the best is
  taken, so edges are smooth, and tell how certain the winner is;
- a matte: floats from 0 to 1 of shape (height, width), the share of class 1. It needs two labels.

Nothing of this module has to be imported for that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union

if TYPE_CHECKING:
    # Where it is missing, the worker says so itself.
    import numpy as np
    import numpy.typing as npt

__all__ = ["Labels", "Model", "cancelled", "folder", "max_threads", "settings", "stage", "traceparent"]

Labels = Union[Sequence[str], Mapping[str, Sequence[int]]]
"""Names by class id, or names with their colours: ``{"background": (0, 0, 0), "cat": (255, 0, 0)}``."""


class Model(Protocol):
    """What the class in a model's file looks like. It need not inherit from this."""

    labels: Labels
    """May be set by ``load``. One that is called ``background`` is left undrawn."""

    def load(self) -> None:
        """Reads weights. May take long, and may be left out; no frame waits for it."""

    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """The mask of a frame. Its pixels are the server's: copy what is to be kept."""


settings: dict[str, Any] = {}
"""The table ``[settings]`` of the model and of its mode."""

folder: Path = Path(".")
"""Where the model's file lies; weights lie beside it."""

max_threads: int = 1
"""How many threads the model may keep busy. NumPy and PyTorch have been told."""


class _Call:
    """The frame that is being segmented."""

    def __init__(self) -> None:
        self.stages = [0, 0, 0]
        self.trace = (0, 0, 0)
        self.cancelled = lambda: False


_call = _Call()

_STAGES = {"preprocess": 0, "forward": 1, "postprocess": 2}


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Times a part of ``segment`` for the frame's trace: ``preprocess``, ``forward`` or ``postprocess``.

    Without any, all of ``segment`` is ``forward``.
    """
    at = _STAGES[name]
    start = time.perf_counter_ns()
    try:
        yield
    finally:
        _call.stages[at] += time.perf_counter_ns() - start


def cancelled() -> bool:
    """Whether nobody waits for this frame's mask any more. Long calls ask now and then, and return anything."""
    return _call.cancelled()


def traceparent() -> str | None:
    """The W3C header for whatever ``segment`` calls over a network, so that its spans join the frame's trace."""
    trace_id, span_id, flags = _call.trace
    if not trace_id or not span_id:
        return None
    return f"00-{trace_id:032x}-{span_id:016x}-{flags & 0xFF:02x}"
