"""Two hundred image files, sound, odd and broken, for the inference command."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

SOUND, BROKEN = "sound", "broken"


def photograph(size, seed):
    """uint8 (h, w, 3): smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def encoded(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, data=b"", depth=8, colour=2):
    """A PNG whose header claims a size, whatever its data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def png_16bit(shape, seed):
    """A colour PNG of 16 bits a channel, which Pillow cannot write."""
    values = np.random.default_rng(seed).integers(0, 65536, (*shape, 3)).astype(">u2")
    return png_of(shape[1], shape[0], b"".join(b"\0" + row.tobytes() for row in values), depth=16)


def with_broken_resolution(picture):
    """A JPEG with orientation 6 and an XResolution of -1/0, as some cameras write it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, TiffImagePlugin.IFDRational(123457, 1000003)
    content = encoded(picture, "JPEG", exif=exif)
    for order in "><":  # as a signed rational
        entry = struct.pack(f"{order}HHI", 0x011A, 5, 1), struct.pack(f"{order}HHI", 0x011A, 10, 1)
        content = content.replace(*entry)
    return content.replace(struct.pack(">II", 123457, 1000003), struct.pack(">ii", -1, 0)).replace(
        struct.pack("<II", 123457, 1000003), struct.pack("<ii", -1, 0)
    )


def sound_files(seed):
    """Name -> bytes of files that can be read, however odd they are."""
    picture = Image.fromarray(photograph((24 + seed % 5, 40 + seed % 7), seed))
    upright = Image.Exif()
    upright[0x0112] = 1 + seed % 8
    frames = [Image.fromarray(photograph((20, 30), seed + i)) for i in range(3)]
    deep = np.random.default_rng(seed).integers(0, 65536, (16, 24)).astype(np.uint16)
    animated = {"save_all": True, "append_images": frames[1:]}
    return {
        "plain.jpg": encoded(picture, "JPEG"),
        "upper.JPG": encoded(picture, "JPEG"),
        "turned.jpeg": encoded(picture, "JPEG", exif=upright),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(picture.convert("L"), "JPEG"),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "plain.png": encoded(picture, "PNG"),
        "alpha.png": encoded(picture.convert("RGBA"), "PNG"),
        "palette.png": encoded(picture.convert("P"), "PNG", transparency=3),
        "bilevel.png": encoded(picture.convert("1"), "PNG"),
        "grey_alpha.png": encoded(picture.convert("LA"), "PNG"),
        "grey16.png": encoded(Image.fromarray(deep), "PNG"),
        "colour16.png": png_16bit((9, 12), seed),
        "animated.png": encoded(frames[0], "PNG", **animated),
        "animated.webp": encoded(frames[0], "WEBP", **animated),
        "lossless.webp": encoded(picture, "WEBP", lossless=True),
        "plain.bmp": encoded(picture, "BMP"),
        "pages.tiff": encoded(frames[0], "TIFF", **animated),
        "deflated.tif": encoded(picture, "TIFF", compression="tiff_deflate"),
        "grey16.tif": encoded(Image.fromarray(deep), "TIFF"),
        "cmyk.tif": encoded(picture.convert("CMYK"), "TIFF"),
        "point.png": encoded(picture.crop((0, 0, 1, 1)), "PNG"),
        "line.png": encoded(picture.resize((300, 1)), "PNG"),
        "column.bmp": encoded(picture.resize((1, 200)), "BMP"),
        "really_a_png.jpg": encoded(picture, "PNG"),
        "really_a_jpeg.png": encoded(picture, "JPEG"),
        "spaces and üñí.jpg": encoded(picture, "JPEG"),
        "bracket[1].jpg": encoded(picture, "JPEG"),
        "n" * 240 + ".jpg": encoded(picture, "JPEG"),
        "animated.gif.jpg": encoded(Image.fromarray(photograph((9, 9), seed)), "GIF"),
        "two_pictures.jpg": encoded(picture, "MPO", save_all=True, append_images=frames[1:]),
        "turned_by_odd_exif.jpg": with_broken_resolution(picture),
        "ends_early_after_all_rows.jpg": encoded(picture, "JPEG") + b"rubbish",
    }


def broken_files(seed):
    """Name -> bytes of files that cannot be read."""
    sound = sound_files(seed)
    rng = np.random.default_rng(seed)
    jpeg, png, tiff, webp = (sound[name] for name in ("plain.jpg", "plain.png", "deflated.tif", "lossless.webp"))
    return {
        "empty.jpg": b"",
        "empty.png": b"",
        "one_byte.bmp": b"B",
        "zeros.jpg": bytes(2000),
        "noise.png": rng.integers(0, 256, 3000, dtype=np.uint8).tobytes(),
        "text.jpg": b"no image at all\n",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "half.tif": tiff[: len(tiff) // 2],
        "half.webp": webp[: len(webp) // 2],
        "head_only.jpg": jpeg[:30],
        "head_only.png": png[:40],
        "half.bmp": sound["plain.bmp"][:400],
        "damaged.png": png[:60] + bytes(40) + png[100:],
        "bomb.png": png_of(60000, 60000),
        "bomb_bits.png": png_of(2**31 - 1, 2**31 - 1, depth=1, colour=0),
        "no_rows.png": png_of(50, 50),
        "width_zero.png": png_of(0, 10),
        "floats.tif": encoded(Image.fromarray(np.ones((5, 5), np.float32)), "TIFF"),
    }


def make(folder):
    """Write 200 files in four folders, and folders with the names of images.

    Returns:
        kinds: dict of Path -> SOUND or BROKEN.
    """
    kinds = {}
    for part in range(4):
        here = folder / f"camera{part}"
        here.mkdir(parents=True)
        for kind, files in ((SOUND, sound_files(part)), (BROKEN, broken_files(part))):
            for name, content in files.items():
                (here / name).write_bytes(content)
                kinds[here / name] = kind
    (folder / "folder.jpg").mkdir()
    (folder / "full.png").mkdir()
    inside = folder / "full.png" / "inside.png"
    inside.write_bytes(sound_files(9)["plain.png"])
    kinds[inside] = SOUND
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    kinds[folder / "dangling.jpg"] = kinds[folder / "loop.jpg"] = BROKEN
    return kinds
