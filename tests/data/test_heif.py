"""HEIC and AVIF, written by the libraries that are here; without them a reason that names the command."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, features

from regraft.data import Preprocessing, decode

SMALL = Preprocessing(size=16, resize=16, fit="stretch")


def drawn():
    y, x = np.mgrid[:64, :64]
    return Image.fromarray(np.stack([x * 3, y * 3, 200 - x - y], -1).astype(np.uint8))


def heic(image, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95, **options)
    return buffer.getvalue()


def reference(image):
    return np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)


def test_heic_is_read():
    image = drawn()
    assert np.abs(decode(heic(image), SMALL).astype(int) - reference(image)).mean() < 4


def test_an_orientation_is_followed_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # a telephone that was held upright
    image = drawn()
    upright = reference(image.transpose(Image.Transpose.ROTATE_270))
    assert np.abs(decode(heic(image, exif=exif.tobytes()), SMALL).astype(int) - upright).mean() < 4


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read():
    image, buffer = drawn(), io.BytesIO()
    image.save(buffer, "avif", quality=95)
    assert np.abs(decode(buffer.getvalue(), SMALL).astype(int) - reference(image)).mean() < 4


def test_without_pillow_heif_the_reason_names_the_command(tmp_path):
    (tmp_path / "a.heic").write_bytes(heic(drawn()))
    script = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pathlib import Path; from regraft.data import decode, Preprocessing\n"
        f"decode(Path({str(tmp_path / 'a.heic')!r}).read_bytes(), Preprocessing())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'regraft[heif]'" in done.stderr
