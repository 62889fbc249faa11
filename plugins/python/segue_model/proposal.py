"""`segue models inspect FILE.py`: what the catalog would have to say of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .model_file import Unusable, classes, load_class, told


def propose(path: Path) -> int:
    """Prints an entry for the model in the file ``path``; the exit code."""
    try:
        found = load_class(path, path.resolve())
    except BaseException as error:  # noqa: BLE001
        print(told(error), file=sys.stderr)
        return 1
    try:
        labels, _ = classes(found, [])
        told_labels = f"labels {', '.join(labels[:8])}{' and others' if len(labels) > 8 else ''}"
    except Unusable:
        told_labels = "labels that `load` sets"
    title = (found.__doc__ or found.__name__).strip().splitlines()[0]
    name = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower())
    print(f"# Save as models/{name}.toml, with {path.name} beside it; then:")
    print(f"#   segue serve --set modes.{name}.model={name}")
    print(f"# The class {found.__name__}, with {told_labels}.")
    print(f'backend = "python"\ntitle = {json.dumps(title)}\nlicence = "unknown"')
    print(f"file = {json.dumps(path.name)}")
    print('# requirements = ["torch==2.9.0"]   # for an environment of its own; `segue models pull` makes it')
    print('# python = "python3"                # which Python runs it, or makes that environment')
    return 0
