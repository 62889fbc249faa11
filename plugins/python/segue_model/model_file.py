"""The lab's file: read it, find its class, ask for its labels."""

from __future__ import annotations

import linecache
import sys
import traceback
import types
from pathlib import Path
from typing import Any

OURS = __name__.split(".")[0]


class Unusable(Exception):
    """The file runs, and is no model. Its text is for people."""


def load_class(source: Path, named: Path) -> type:
    """The class of the model in the file ``source``, which people know as ``named``."""
    text = source.read_text(encoding="utf-8")
    # What a traceback shows is what runs, even when the file was saved again meanwhile.
    linecache.cache[str(named)] = (len(text), None, text.splitlines(keepends=True), str(named))
    module = types.ModuleType(named.stem)
    module.__file__ = str(named)
    sys.modules[named.stem] = module
    if str(named.parent) not in sys.path:
        sys.path.append(str(named.parent))
    exec(compile(text, str(named), "exec"), module.__dict__)  # noqa: S102
    own = [it for it in vars(module).values() if isinstance(it, type) and it.__module__ == named.stem]
    models = [it for it in own if callable(getattr(it, "segment", None))]
    if len(models) != 1:
        names = ", ".join(it.__name__ for it in models) or "none"
        raise Unusable(f"{named.name} has to define one class with a method `segment`; there is {names}")
    return models[0]


def classes(model: Any, catalog: list[Any]) -> tuple[list[str], list[list[int]]]:
    """Labels and colours: the catalog's, or else the model's own."""
    own = getattr(model, "labels", None)
    if catalog:
        if own is not None and len(own) != len(catalog):
            raise Unusable(f"the catalog names {len(catalog)} classes, and the model has {len(own)} labels")
        return [label for label, _ in catalog], [list(colour) for _, colour in catalog]
    if own is None:
        raise Unusable("the class has no `labels`: write them there, or as [[classes]] in the catalog's entry")
    if not 1 <= len(own) <= 256:
        raise Unusable(f"a model of {len(own)} labels; 1 to 256 are possible")
    colours = own.values() if isinstance(own, dict) else (_colour(at) for at in range(len(own)))
    return [str(label) for label in own], [[int(value) for value in colour] for colour in colours]


def _colour(number: int) -> list[int]:
    """One that differs from those before."""
    return [number * factor % 256 for factor in (67, 113, 199)]


def told(error: BaseException) -> str:
    """An error in a line: what, and where in the lab's file."""
    what = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{what} ({Path(error.filename).name}, line {error.lineno})"
    if isinstance(error, Unusable) or not frames:
        return what.removeprefix(f"{OURS}.model_file.Unusable: ")
    # The deepest place in the lab's own file; libraries are below it.
    place = [frame for frame in frames if frame.filename == frames[0].filename][-1]
    return f"{what} ({Path(place.filename).name}, line {place.lineno}, in {place.name})"


def full(error: BaseException) -> str:
    """An error with the way that led to it, from the lab's file on."""
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list([it for it in shown.stack if not _is_ours(it.filename)])
    return "".join(shown.format()).strip()


def _is_ours(path: str) -> bool:
    return f"/{OURS}/" in path or "<frozen " in path
