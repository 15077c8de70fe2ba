"""Image files of every kind as a person sees them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from robustjax.data._image_decoding import is_image, read_rgb, read_size

LEVELS = np.arange(256).reshape(16, 16)
# Every 257th of 16 bits, off the exact multiples by what must round away.
DEEP = (LEVELS * 257 + (LEVELS % 3 - 1) * 100).clip(0, 65535).astype(np.uint16)


def rgb(path):
    return np.asarray(read_rgb(path).rgb)


def gray(path):
    pixels = rgb(path)
    np.testing.assert_array_equal(pixels, pixels[..., :1].repeat(3, axis=-1))
    return pixels[..., 0]


def png(width, height, bits, color, *chunks):
    """A PNG file from its parts."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def rows_of(pixels):
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


@pytest.mark.parametrize(
    ("name", "order", "options"),
    [
        ("deep.png", "<", {}),
        ("deep.jp2", "<", {}),
        *(
            ("deep.tif", order, options)
            for order in "<>"
            for options in (
                {},
                {"compression": "tiff_lzw"},
                {"compression": "tiff_adobe_deflate"},
            )
        ),
    ],
)
def test_sixteen_bits_are_scaled_not_cut_off(tmp_path, name, order, options):
    Image.fromarray(DEEP.astype(f"{order}u2")).save(tmp_path / name, **options)
    np.testing.assert_array_equal(gray(tmp_path / name), LEVELS)


@pytest.mark.parametrize("top", [1023, 65535])
def test_sixteen_bits_of_pnm_reach_white_at_their_own_maximum(tmp_path, top):
    values = np.rint(LEVELS / 255 * top).astype(">u2")
    path = tmp_path / "deep.pgm"
    path.write_bytes(f"P5 16 16 {top}\n".encode() + values.tobytes())
    np.testing.assert_array_equal(gray(path), LEVELS)


def test_sixteen_bits_per_channel(tmp_path):
    pixels = np.stack([DEEP, DEEP.T, 65535 - DEEP], axis=-1).astype(">u2")
    (tmp_path / "a.png").write_bytes(png(16, 16, 16, 2, (b"IDAT", rows_of(pixels))))
    got = rgb(tmp_path / "a.png").astype(int)
    want = np.stack([LEVELS, LEVELS.T, 255 - LEVELS], axis=-1)
    # Pillow drops the lower byte here, at most one level off.
    assert np.abs(got - want).max() <= 1


def test_twelve_bits_reach_white_at_4095(tmp_path):
    # Two pixels in three bytes, behind a header of one directory.
    pixels = b"".join(
        struct.pack(">I", (int(a) << 12) | int(b))[1:]
        for a, b in np.rint(LEVELS / 255 * 4095).astype(int).reshape(-1, 2)
    )
    tags = {256: 16, 257: 16, 258: 12, 259: 1, 262: 1, 277: 1, 278: 16}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 279: len(pixels)}
    entries = b"".join(
        struct.pack("<HHII", t, 4, 1, v) for t, v in sorted(tags.items())
    )
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4
    (tmp_path / "a.tif").write_bytes(header + pixels)
    np.testing.assert_array_equal(gray(tmp_path / "a.tif"), LEVELS)


def test_where_zero_is_white(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(DEEP).save(path, tiffinfo={262: 0})
    np.testing.assert_array_equal(gray(path), 255 - LEVELS)


def test_floats_from_zero_to_one(tmp_path):
    Image.fromarray((LEVELS / 255).astype(np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(gray(tmp_path / "a.tif"), LEVELS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (LEVELS.astype(np.float32), r"floats in \[0, 255\], expected \[0, 1\]"),
        (np.full((4, 4), -0.1, np.float32), r"floats in \[-0.1, -0.1\]"),
        (np.full((4, 4), np.nan, np.float32), r"floats in \[nan, nan\]"),
        (LEVELS.astype(np.int32), "samples are signed integers"),
    ],
)
def test_samples_of_unknown_range_are_refused(tmp_path, values, message):
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(ValueError, match=f"path: cannot read '{path}': .*{message}"):
        read_rgb(path)


def test_32_bit_samples_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(LEVELS.astype(np.int32)).save(path)
    signed, unsigned = (struct.pack("<HHII", 339, 3, 1, kind) for kind in (2, 1))
    content = path.read_bytes()
    assert content.count(signed) == 1
    path.write_bytes(content.replace(signed, unsigned))
    with pytest.raises(ValueError, match="32-bit integers, whose range is not known"):
        read_rgb(path)


def test_a_transparent_level_of_16_bits_is_refused(tmp_path):
    content = png(16, 16, 16, 0, (b"tRNS", b"\0\5"), (b"IDAT", rows_of(DEEP)))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match="16 bits with a transparent level"):
        read_rgb(tmp_path / "a.png")


def test_palettes_bits_greyscale_and_cmyk(tmp_path, rng):
    colors = rng.integers(0, 256, (4, 3), np.uint8)
    indices = rng.integers(0, 4, (5, 7), np.uint8)
    image = Image.new("P", (7, 5))
    image.putdata(indices.ravel().tolist())
    image.putpalette(colors.ravel().tolist())
    for name in ("a.png", "a.gif", "a.tif"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(rgb(tmp_path / name), colors[indices])
    bits = indices > 1
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(gray(tmp_path / "bits.png"), bits * 255)
    Image.fromarray(LEVELS.astype(np.uint8)).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(gray(tmp_path / "gray.png"), LEVELS)
    # No ink is white, full black ink black.
    inks = np.zeros((2, 2, 4), np.uint8)
    inks[0, 0] = (0, 0, 0, 255)
    inks[1, 1] = (255, 0, 0, 0)
    Image.fromarray(inks, "CMYK").save(tmp_path / "inks.tif")
    want = np.full((2, 2, 3), 255)
    want[0, 0], want[1, 1] = 0, (0, 255, 255)
    np.testing.assert_array_equal(rgb(tmp_path / "inks.tif"), want)


def test_cmyk_of_jpeg_is_not_inverted(tmp_path):
    # Adobe's programs, and Pillow, store the inks of JPEG inverted.
    inks = Image.fromarray(LEVELS.astype(np.uint8)).convert("CMYK")
    inks.save(tmp_path / "a.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    assert np.abs(rgb(tmp_path / "a.jpg")[..., 0].astype(int) - LEVELS).max() <= 3


def test_what_is_transparent_shows_white(tmp_path):
    hidden = np.zeros((2, 3, 4), np.uint8)
    hidden[0] = (200, 0, 0, 255)
    hidden[1, 0] = (0, 0, 0, 128)
    want = np.full((2, 3, 3), 255)
    want[0] = (200, 0, 0)
    want[1, 0] = 127
    image = Image.fromarray(hidden)
    for name in ("a.png", "a.tif"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(rgb(tmp_path / name), want)
    image.convert("LA").save(tmp_path / "la.png")
    assert gray(tmp_path / "la.png")[1].tolist() == [127, 255, 255]
    # A palette with a transparent entry, and a transparent colour.
    palette = Image.new("P", (2, 1))
    palette.putdata([0, 1])
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "p.png", transparency=1)
    palette.save(tmp_path / "p.gif", transparency=1)
    for name in ("p.png", "p.gif"):
        assert rgb(tmp_path / name)[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    plain = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    plain.save(tmp_path / "rgb.png", transparency=(9, 9, 9))
    assert rgb(tmp_path / "rgb.png")[0].tolist() == [[1, 2, 3], [255, 255, 255]]


_STORED = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, 1),
    7: lambda x: np.rot90(x, 2).T,
    8: lambda x: np.rot90(x, -1),
}


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_every_orientation_is_turned_upright(tmp_path, suffix):
    upright = np.kron([[0, 90, 180], [250, 40, 130]], np.ones((16, 16))).astype(
        np.uint8
    )
    for orientation, store in _STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.{suffix}"
        options = {"quality": 100} if suffix in ("jpg", "webp") else {}
        image = Image.fromarray(np.ascontiguousarray(store(upright))).convert("RGB")
        image.save(path, exif=exif, **options)
        got = rgb(path)[..., 0].astype(int)
        assert got.shape == (32, 48), orientation
        assert np.abs(got - upright).max() <= 8, orientation


def test_unreadable_notes_do_no_harm(tmp_path):
    path = tmp_path / "a.jpg"
    image = Image.fromarray(LEVELS.astype(np.uint8))
    image.save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=100)
    assert np.abs(gray(path).astype(int) - LEVELS).max() <= 2


def test_the_first_picture_of_several(tmp_path):
    first, second = Image.new("L", (4, 4), 80), Image.new("L", (4, 4), 160)
    for name in ("a.gif", "a.tif", "a.png", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        first.save(tmp_path / name, save_all=True, append_images=[second], **options)
        assert read_rgb(tmp_path / name).several_frames
        assert (gray(tmp_path / name) == 80).all()
    first.save(tmp_path / "one.gif")
    assert not read_rgb(tmp_path / "one.gif").several_frames


def test_too_many_pixels_are_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png(15000, 13000, 8, 0, (b"IDAT", b"")))
    message = f"path: cannot read '{path}': .*195000000 pixels.*Shrink the image"
    for read in (read_size, read_rgb):
        with pytest.raises(ValueError, match=message):
            read(path)
    assert is_image(path)
    # Up to twice Pillow's limit is well; it would warn, without a name.
    Image.new("L", (10, 15)).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_size(tmp_path / "b.png") == (15, 10)
    assert rgb(tmp_path / "b.png").shape == (15, 10, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp", "jp2"])
def test_damaged_files_are_named(tmp_path, rng, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    refused = []
    damaged = [whole[: len(whole) * part // 10] for part in range(10)]
    for _ in range(60):
        flipped = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 300), 3):
            flipped[place] ^= int(rng.integers(1, 256))
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        for read in (read_size, read_rgb):
            try:
                read(path)
            except ValueError as error:
                refused.append(str(error))
    # All that are cut off, and more.
    assert len(refused) > 10
    named = f"path: cannot read '{path}': "
    assert all(text.startswith(named) and "\n" not in text for text in refused)


@pytest.mark.parametrize("chunk", [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"gAMA"])
def test_a_broken_chunk_of_png(tmp_path, chunk):
    path = tmp_path / "a.png"
    content = png(2, 1, 8, 0, (chunk, b"\1"), (b"IDAT", b"broken"))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"path: cannot read '{path}': "):
        read_rgb(path)


def test_what_is_no_image(tmp_path):
    for content in (b"", b"text", b"\x89PNG"):
        (tmp_path / "a.png").write_bytes(content)
        assert not is_image(tmp_path / "a.png")
        with pytest.raises(ValueError, match="damaged, or no image of a known format"):
            read_rgb(tmp_path / "a.png")
    with pytest.raises(ValueError, match="absent.png': No such file"):
        read_rgb(tmp_path / "absent.png")
