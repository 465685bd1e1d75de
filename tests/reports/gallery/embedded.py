"""What lies in a page, read without its script; and names that would do harm in one."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

HOSTILE = [
    "</script><script>alert(1)</script>.jpg",
    "<!--<script>.jpg",
    "\"onload='x' & {{ 7 * 7 }} `${1}`.jpg",
    "line\nbreak\r\ttab\x00\x1b[31m.jpg",
    "right\u202eto\u2066left\u200f.jpg",
    "line\u2028and\u2029paragraph.jpg",
    "not utf-8 \udcff\udc80.jpg",
    "\U0001f3d4 ünïcode \u0627\u0644.jpg",
    "javascript:alert(1)",
    "../../etc/passwd",
    "=cmd|' /C calc'!A0",
]


def embedded(page: Path) -> dict[str, Any]:
    """Return the data in a page, read as a browser would."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL
    )
    assert len(found) == 1
    data: dict[str, Any] = json.loads(found[0])
    return data


def sheets_of(page: Path) -> list[Image.Image]:
    """Return the sheets in a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r'id="sheet-(\d+)">([^<]*)</script>', text)
    assert [int(number) for number, _ in found] == list(range(len(found)))
    return [Image.open(io.BytesIO(base64.b64decode(content))) for _, content in found]
