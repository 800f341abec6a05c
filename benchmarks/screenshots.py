"""Screenshots of pages for the documentation, taken by a headless Chromium."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from PIL import Image

SIZES = {"phone": (390, 1_400), "desktop": (1_280, 1_400)}
"""Width of the window, and the most of the page's height that a picture shows, pixels."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_BYTES = 300_000
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def save_screenshots(pages: Mapping[str, Path | str], place: Path) -> list[Path]:
    """Write NAME-SIZE-SCHEME.png of each page into ``place``; return their paths.

    Without a Chromium on the path it says so and writes none.

    Parameters
    ----------
    pages : file, or address of a server, by the name of its pictures
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        print(f"no screenshots: none of {', '.join(_PROGRAMS)} is on the path; install one of them")
        return []
    from playwright.sync_api import sync_playwright

    written = []
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        for name, page in pages.items():
            address = page.resolve().as_uri() if isinstance(page, Path) else page
            for size, (width, most) in SIZES.items():
                for scheme in SCHEMES:
                    view = browser.new_page(
                        viewport={"width": width, "height": most}, color_scheme=scheme
                    )
                    view.goto(address)
                    height = min(most, view.evaluate("document.documentElement.scrollHeight"))
                    view.set_viewport_size({"width": width, "height": height})
                    path = place / f"{name}-{size}-{scheme}.png"
                    _save_small(view.screenshot(), path)
                    view.close()
                    written.append(path)
        browser.close()
    return written


def _save_small(content: bytes, path: Path) -> None:
    """Write a PNG of 64 colours; refuse one that is too large for a repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    still = Image.Dither.NONE
    picture.quantize(64, Image.Quantize.MAXCOVERAGE, dither=still).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
