"""Whether pictures are decoded, by what, and which formats are known."""

import io
from collections.abc import Iterator
from importlib import metadata

import numpy as np
from PIL import Image, features

from places.doctor.finding import Finding

_FORMATS = {"jpg": "JPEG", "webp": "WebP", "avif": "AVIF", "jpg_2000": "JPEG 2000"}


def decoding_findings() -> Iterator[Finding]:
    """Decode a small JPEG the way training does, and compare it with Pillow's."""
    from places.data.streaming.jpeg import decode_jpeg

    file = io.BytesIO()
    ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    Image.fromarray(ramp).save(file, "JPEG", quality=90)
    version = metadata.version("simplejpeg")
    try:
        pixels = decode_jpeg(file.getvalue())
    except Exception as error:  # a library of the system that does not fit
        reason = str(error).partition("\n")[0][:200]
        yield Finding(
            "JPEG", f"simplejpeg {version}", reason, "pip install --force-reinstall simplejpeg"
        )
        return
    with Image.open(file) as image:
        difference = int(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).max())
    seen = f"simplejpeg {version}: libjpeg-turbo, reduced size where the crop allows it"
    # Decoders of other releases may round otherwise, by a level or two.
    problem = f"its pixels differ from Pillow's by {difference} of 255" if difference > 2 else ""
    yield Finding("JPEG", seen, problem, "pip install -U simplejpeg Pillow" if problem else "")
    known = [name for feature, name in _FORMATS.items() if features.check(feature)]
    yield Finding("other pictures", f"Pillow: {', '.join(known)}, PNG and more, one at a time")
