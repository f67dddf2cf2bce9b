"""First bytes -> the format, for every kind of file that is read."""

import io

import pytest
from PIL import Image

from regraft.data.kinds import is_picture
from regraft.data.signatures import HEAD_BYTES, SIGNATURES, TOO_SHORT, format_of

WRITTEN = {"jpeg": "jpeg", "png": "png", "gif": "gif", "webp": "webp", "tiff": "tiff", "jpeg2000": "jpeg2000"}


@pytest.mark.parametrize(("name", "kind"), [*WRITTEN.items(), ("bmp", "bmp"), ("pnm", "ppm")])
def test_what_a_library_writes_is_known_by_its_first_bytes_with_or_without_a_suffix(name, kind, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7)).save(buffer, kind)
    assert format_of(buffer.getvalue()[:HEAD_BYTES]) == name
    (tmp_path / "scan").write_bytes(buffer.getvalue())
    assert is_picture(tmp_path, "scan") is (name not in TOO_SHORT)


def test_no_signature_is_taken_for_another_format():
    for name, signatures in SIGNATURES.items():
        for at, signature in signatures:
            assert format_of(bytes(at) + signature) == name


@pytest.mark.parametrize("start", [b"", b"Bild,Klasse", b"P,label", bytes(HEAD_BYTES), b"RIFF\0\0\0\0WAVEfmt "])
def test_other_files_are_none_of_these(start):
    assert format_of(start) is None
