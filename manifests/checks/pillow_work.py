"""Pillow writes PNG, JPEG, WebP and TIFF with text in a font, and reads them back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from PIL import Image, ImageDraw, ImageFont, features

    picture = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(picture).text((10, 30), "dsvm", font=ImageFont.load_default(size=40), fill="black")
    dark = sum(picture.convert("L").histogram()[:128])
    if not dark > 200:
        raise AssertionError(f"{dark} dark pixels: no text was drawn")
    for kind in ("png", "jpeg", "webp", "tiff"):
        picture.save(f"picture.{kind}")
        with Image.open(f"picture.{kind}") as again:
            if again.size != (200, 100) or again.format != kind.upper() or again.convert("L").getpixel((0, 0)) < 250:
                raise AssertionError(f"{kind}: {again.format} {again.size}")
    if not features.check("freetype2"):
        raise AssertionError("no FreeType")
    return {"dark_pixels": dark}


if __name__ == "__main__":
    run_check(__file__, check)
