"""DICOM files, written by pydicom: right values computed by numpy from the standard's formulas."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from regraft.data import Preprocessing, Reading, decode, scan, survey
from regraft.errors import BadImage

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: E402

SIDE = 8
SQUARE = Preprocessing(size=SIDE, resize=SIDE, interpolation="nearest")
RNG = np.random.default_rng(3)


def dicom(values, kind="MONOCHROME2", stored=12, **fields):
    """Return the bytes of a DICOM file of [h, w], [frames, h, w] or, of RGB, [h, w, 3]."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    colours = kind == "RGB"
    file.Rows, file.Columns = values.shape[-3:-1] if colours else values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = (3, kind) if colours else (1, kind)
    if colours:
        file.PlanarConfiguration = 0
    elif values.ndim == 3:
        file.NumberOfFrames = len(values)
    file.BitsAllocated, file.BitsStored = values.itemsize * 8, 8 if colours else stored
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
    for name, value in fields.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def scaled(values, low, high):
    return np.floor(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5)


def shown(content, **look):
    pixels = decode(content, replace(SQUARE, **look)).astype(int)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def raw(top=4095, dtype=np.uint16):
    values = RNG.integers(0, top + 1, (SIDE, SIDE)).astype(dtype)
    values[0, 0] = top
    return values


def written(folder, *contents, name="{}.dcm"):
    paths = [folder / name.format(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_slope_and_intercept_give_hounsfield_units():
    values = raw()
    content = dicom(values, RescaleSlope=2, RescaleIntercept=-1024)
    units = values * 2.0 - 1024
    np.testing.assert_allclose(shown(content, value_range=(-1024, 3071)), scaled(units, -1024, 3071), atol=1)


def test_signed_values_are_read_as_such():
    values = (raw().astype(int) - 2000).astype(np.int16)
    content = dicom(values, stored=16)
    np.testing.assert_allclose(shown(content, value_range=(-2000, 2095)), scaled(values, -2000, 2095), atol=1)


def test_monochrome1_is_turned_so_that_bright_is_high():
    values = raw()
    content = dicom(values, kind="MONOCHROME1")
    np.testing.assert_allclose(shown(content, value_range=(0, 4095)), 255 - scaled(values, 0, 4095), atol=1)


def test_the_window_that_all_files_ask_for_is_the_scale(tmp_path):
    window = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    paths = written(tmp_path, dicom(raw(), **window), dicom(raw(2000), **window))
    found = survey(paths)
    assert found.value_range == (40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2)  # PS3.3 C.11.2.1.2.1
    assert "the window that their files ask for" in found.notices[0]


def test_different_windows_give_one_scale_that_holds_them(tmp_path):
    found = survey(
        written(
            tmp_path,
            dicom(raw(), WindowCenter=[1000.5, 40], WindowWidth=[1001, 80]),
            dicom(raw(), WindowCenter=2000.5, WindowWidth=1001),
        )
    )
    assert found.value_range == (500, 2500)
    assert "holds the 2 windows" in found.notices[0]


def test_without_a_window_the_bits_make_the_scale(tmp_path):
    assert survey(written(tmp_path, dicom(raw(4000)), dicom(raw(100)))).value_range == (0, 4095)
    values = raw()
    values[0, 1] = 0
    hounsfield = dicom(values, RescaleSlope=1, RescaleIntercept=-1024)
    assert survey(written(tmp_path, hounsfield)).value_range == (-1024, 3071)


def test_8_bits_that_are_full_have_their_own_scale_beside_12_bits(tmp_path):
    values = RNG.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    paths = written(tmp_path, dicom(values, stored=8), dicom(raw(4000)))
    found = survey(paths)
    assert found.value_range == (0, 4095)
    assert "1 of 2 pictures hold" in found.notices[0]
    np.testing.assert_array_equal(shown(paths[0].read_bytes(), value_range=(0, 4095)), values)
    narrow = dicom(values, stored=8, WindowCenter=100.5, WindowWidth=101)  # a window that is not full is kept
    np.testing.assert_allclose(shown(narrow, value_range=(50, 150)), scaled(values, 50, 150), atol=1)


def test_of_many_frames_the_middle_one_is_shown_and_said(tmp_path):
    frames = np.stack([raw() for _ in range(5)])
    (path,) = written(tmp_path, dicom(frames))
    np.testing.assert_allclose(shown(path.read_bytes(), value_range=(0, 4095)), scaled(frames[2], 0, 4095), atol=1)
    assert survey([path]).notices[0] == "1 pictures show frame 3 of 5."


def test_colours_are_colours():
    colours = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(decode(dicom(colours, kind="RGB"), SQUARE), colours)


def test_a_file_without_a_scale_or_without_a_picture_says_so():
    with pytest.raises(BadImage, match="range=LO:HI"):
        decode(dicom(raw()), SQUARE)
    meta_only = dicom(raw())[:400]
    with pytest.raises(BadImage):
        decode(meta_only, SQUARE)


def test_a_file_is_known_by_its_bytes_and_grouped_by_the_patient_of_its_header(tmp_path):
    for label, patients in (("a", ("P1", "P2")), ("b", ("P1", "P3"))):
        (tmp_path / label).mkdir()
        contents = [dicom(raw(), PatientID=patient) for patient in patients]
        written(tmp_path / label, *contents, name=f"IM{label}{{}}")
    manifest = scan(tmp_path, Reading(groups="PatientID"))
    assert [item.name for item in manifest.items] == ["a/IMa0", "a/IMa1", "b/IMb0", "b/IMb1"]
    assert manifest.groups == ["P1", "P2", "P1", "P3"]
    (tmp_path / "b" / "IMb0").write_bytes(dicom(raw()))
    manifest = scan(tmp_path, Reading(groups="PatientID"))
    assert manifest.groups == ["P1", "P2", "b/IMb0", "P3"]
    assert manifest.notices == (
        "1 of 4 pictures have no PatientID in their header: each of them is a group of its own (b/IMb0).",
    )


def test_without_pydicom_the_reason_names_the_command(tmp_path):
    (path,) = written(tmp_path, dicom(raw()))
    script = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from pathlib import Path; from regraft.data import decode, Preprocessing\n"
        f"decode(Path({str(path)!r}).read_bytes(), Preprocessing())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'regraft[dicom]'" in done.stderr
