"""From what ``segment`` returns to the planes that the server wants."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]


def fill(result: Any, classes: int, labels: Plane, confidence: Plane | None) -> None:
    """Fills the planes, which have the mask's height and width, from what ``segment`` returned."""
    mask = np.asarray(result)
    is_float = np.issubdtype(mask.dtype, np.floating)
    if mask.ndim == 2 and mask.size and not is_float:
        _fill_from_ids(mask, labels)
        if confidence is not None:
            confidence.fill(255)
    elif mask.ndim == 2 and mask.size and classes == 2:
        matte = np.clip(np.nan_to_num(_enlarge(mask[np.newaxis], labels.shape)[0]), 0.0, 1.0)
        np.greater_equal(matte, 0.5, out=labels.view(bool))
        if confidence is not None:
            confidence[:] = np.maximum(matte, 1.0 - matte) * 255.0 + 0.5
    elif mask.ndim == 3 and mask.size and is_float and mask.shape[0] == classes:
        scores = _enlarge(mask, labels.shape)
        labels[:] = scores.argmax(axis=0)
        if confidence is not None:
            exponentials = np.exp(scores - scores.max(axis=0))
            confidence[:] = 255.0 / exponentials.sum(axis=0) + 0.5
    else:
        raise ValueError(
            f"segment returned {mask.dtype} of shape {mask.shape}; expected class ids (height, width), "
            f"or scores ({classes}, height, width) as floats"
        )


def _fill_from_ids(mask: npt.NDArray[Any], labels: Plane) -> None:
    if mask.dtype != np.uint8 and mask.dtype != np.bool_:
        least, most = mask.min(), mask.max()
        if least < 0 or most > 255:
            raise ValueError(f"segment returned class ids from {least} to {most}")
    if mask.shape == labels.shape:
        labels[:] = mask
        return
    rows = (np.arange(labels.shape[0]) * 2 + 1) * mask.shape[0] // (2 * labels.shape[0])
    columns = (np.arange(labels.shape[1]) * 2 + 1) * mask.shape[1] // (2 * labels.shape[1])
    labels[:] = mask[rows[:, np.newaxis], columns]


def _enlarge(planes: npt.NDArray[Any], size: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Planes of another height and width, by bilinear interpolation."""
    planes = planes.astype(np.float32, copy=False)
    for axis, wanted in ((1, size[0]), (2, size[1])):
        found = planes.shape[axis]
        if found == wanted:
            continue
        places = np.clip((np.arange(wanted, dtype=np.float32) + 0.5) * (found / wanted) - 0.5, 0, found - 1)
        low = places.astype(np.intp)
        weight = places - low
        weight = weight[:, np.newaxis] if axis == 1 else weight
        lower, upper = planes.take(low, axis), planes.take(np.minimum(low + 1, found - 1), axis)
        planes = lower + (upper - lower) * weight
    return planes
