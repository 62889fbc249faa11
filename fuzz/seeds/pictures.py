"""Writes picture/*: small pictures of each kind that the server reads.

pip install pillow
"""

import pathlib

from PIL import Image

FOLDER = pathlib.Path(__file__).with_name("picture")
COLOURS = Image.linear_gradient("L").resize((24, 16))
COLOURS = Image.merge("RGB", (COLOURS, COLOURS.rotate(90), COLOURS.rotate(180)))


def write(name, mode="RGB", **options):
    COLOURS.convert(mode).save(FOLDER / name, **options)


write("baseline.jpg", quality=60)
write("fine-colours.jpg", quality=90, subsampling=0)
write("progressive.jpg", quality=50, progressive=True)
write("restarts.jpg", quality=50, restart_marker_blocks=1)
write("grey.jpg", mode="L")
write("inks.jpg", mode="CMYK")
write("colours.png")
write("grey.png", mode="L")
write("two-colours.png", mode="1")
write("transparent.png", mode="RGBA")
write("palette.png", mode="P")
write("deep.png", mode="I;16")
write("lossy.webp", quality=50)
write("lossless.webp", lossless=True)
write("transparent.webp", mode="RGBA", quality=50)
write("moving.webp", save_all=True, append_images=[COLOURS.rotate(90)], duration=40)
