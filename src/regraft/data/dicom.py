"""Read DICOM -> Numbers in the file's own units. Needs pydicom (an extra)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.data.numbers import Array, Numbers, Range
from regraft.errors import BadImage, MissingExtra

if TYPE_CHECKING:
    import pydicom


def read_dicom(content: bytes) -> Numbers:
    """Return the picture of a DICOM file in its own units, such as Hounsfield's; of many frames the middle one.

    Raises:
        BadImage: the reason in plain words.
    """
    file = _open(content)
    if "PixelData" not in file:
        raise BadImage("a DICOM file without a picture")
    frames = int(file.get("NumberOfFrames") or 1)
    samples, kind = int(file.get("SamplesPerPixel", 1)), str(file.get("PhotometricInterpretation", ""))
    palette = kind == "PALETTE COLOR"
    colours = samples > 1 or palette
    middle = frames // 2
    return Numbers(
        int(file.Columns),
        int(file.Rows),
        3 if palette else samples,
        _type_of(file, colours),
        functools.partial(_load, file, middle if frames > 1 else None, palette),
        usual=(0, 1, 2) if colours else (0,),
        inverted=kind == "MONOCHROME1",
        window=None if colours else _window(file),
        says=f"show frame {middle + 1} of {frames}" if frames > 1 else "",
    )


def _open(content: bytes) -> pydicom.Dataset:
    try:
        import pydicom
    except ImportError as error:
        raise BadImage(str(MissingExtra("pydicom", "dicom", "Reading DICOM"))) from error
    return pydicom.dcmread(BytesIO(content))


def _type_of(file: Any, colours: bool) -> np.dtype[Any]:
    if colours:
        return np.dtype(np.uint8)
    if "ModalityLUTSequence" in file or _rescaled(file) != (1.0, 0.0):
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if _fills_8_bits(file) else np.int32)  # of other bits DICOM counts how many are used


def _fills_8_bits(file: Any) -> bool:
    """Say whether values run from 0 to 255, and are to be shown so: their scale is then that of any picture."""
    window = _window(file)
    full = window is None or (window[0] <= 0 and window[1] >= 255)
    return full and file.get("BitsAllocated") == file.get("BitsStored") == 8 and not file.get("PixelRepresentation")


def _rescaled(file: Any) -> tuple[float, float]:
    return float(file.get("RescaleSlope") or 1), float(file.get("RescaleIntercept") or 0)


def _window(file: Any) -> Range | None:
    """Return the values that the first window of a file shows, as DICOM PS3.3 C.11.2.1.2 defines them."""
    center, width = (_first(file.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or width <= 1:
        return None
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str) or not hasattr(value, "__len__") else value[0])


def _load(file: Any, frame: int | None, palette: bool, which: Sequence[int]) -> Array:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    values: Array = file.pixel_array if frame is None else _frame(file, frame)
    if palette:
        values = _to_8_bits(apply_color_lut(values, file))
    elif values.ndim == 2:
        values = np.asarray(apply_modality_lut(values, file))[..., None]  # slope and intercept, or a table
        values = values.astype(_type_of(file, False))
    else:
        values = _to_8_bits(values)
    return values[..., list(which)]


def _frame(file: Any, frame: int) -> Array:
    from pydicom.pixels import pixel_array

    found: Array = pixel_array(file, index=frame)
    return found


def _to_8_bits(colours: Array) -> Array:
    if colours.dtype == np.uint8:
        return colours
    return np.asarray(colours.astype(np.uint32) * 255 // 65535).astype(np.uint8)
