"""Image folders: one sub-folder per class."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._decoded_cache import decoded_once
from robustjax.data._image_decoding import SUFFIXES, is_image, read_rgb, read_size
from robustjax.data._names import check_class_names, printable
from robustjax.files import is_system_entry

_log = logging.getLogger(__name__)

_NESTED = "in sub-folders of a class"
_STRANGE = "no image by name or content"
_HIDDEN = "hidden"
_BESIDE = "beside the class folders"

LeftOut = dict[str, list[str]]
"""Why -> paths below the root."""


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
      classes: names, in alphabetical order.
      files: (label, path) of every image.
      left_out: what else is there, but for what systems put there.
    """

    classes: list[str]
    files: list[tuple[int, pathlib.Path]]
    left_out: LeftOut

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32."""
        return np.asarray([label for label, _ in self.files], np.int32)

    def ids(self, root: pathlib.Path) -> np.ndarray:
        """(N,) "<class>/<file name>"."""
        return np.asarray([_below(root, file) for _, file in self.files])


def load_image_folder(
    path: str | pathlib.Path,
    *,
    image_size: int | None = None,
    report: Callable[[str], None] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Loads `path/<class>/<anything>.png` (or .jpg, …) into memory.

    Images are what is called like one (`.png`, `.JPG`, `.jfif`, …), and what has no
    suffix but the content of one. See `image_decoding.read_rgb` for how they become
    8-bit RGB. Nothing else is loaded: not images in sub-folders of a class, hidden
    files or folders, files of another kind, images beside the class folders, further
    pictures of an animation. One sentence says what of these was there. What systems
    put into folders by themselves (`.DS_Store`, `__MACOSX`, `._x.png`, `Thumbs.db`,
    `.ipynb_checkpoints`, …) is passed over in silence.

    Every header is read before the first image is decoded.

    Args:
      path: a folder with one sub-folder per class.
      image_size: resize every image to this many pixels squared, bilinearly. By
        default the images must agree in size.
      report: called with the sentence about what was left out; by default a warning
        in the log.
      cache_dir: where the decoded images are kept for the next time, and found while
        no file changes; by default nowhere. See `decoded_once`.

    Returns:
      A `Dataset` with RGB uint8 inputs (N, H, W, 3), classes in alphabetical order,
      ids "<class>/<file name>".

    Raises:
      ValueError: no class folders, an empty class, a name that is not UTF-8, an
        unreadable image, or sizes that differ without `image_size`.
      ImportError: Pillow is not installed.
    """
    root, listing = pathlib.Path(path), list_images(path, image_size)
    animated: list[pathlib.Path] = []

    def decoded() -> tuple[Dataset, bool]:
        check_sizes(listing.files, same=image_size is None)
        images, several = decode(listing.files, image_size)
        animated.extend(several)
        dataset = make_dataset(
            images,
            listing.labels,
            ids=listing.ids(root),
            class_names=listing.classes,
            name=printable(root),
        )
        return dataset, not several

    dataset = decoded_once(
        decoded,
        {
            "folder": os.fspath(root),
            "image_size": image_size,
            "Pillow": importlib.metadata.version("pillow"),
        },
        [file for _, file in listing.files],
        cache_dir=cache_dir,
    )
    remark(root, listing, animated, report)
    return dataset


def list_images(path: str | pathlib.Path, image_size: int | None) -> Listing:
    """What a folder of images holds; see `load_image_folder`.

    Raises:
      ValueError: no class folders, an empty class or a name that is not UTF-8.
      ImportError: Pillow is not installed.
    """
    root = image_root(path, image_size)
    try:
        return _list(root)
    except OSError as error:
        raise ValueError(
            f"path: cannot read {str(error.filename)!r}: {error.strerror}"
        ) from None


def image_root(path: str | pathlib.Path, image_size: int | None) -> pathlib.Path:
    """The folder of some images that are to be decoded.

    Raises:
      ValueError: no folder, or a size that is none.
      ImportError: Pillow is not installed.
    """
    need_pillow()
    root = pathlib.Path(path)
    if not root.is_dir():
        raise ValueError(f"path: {str(root)!r} is not a folder")
    if image_size is not None:
        checks.at_least("image_size", image_size, 1)
    return root


def remark(
    root: pathlib.Path,
    listing: Listing,
    animated: list[pathlib.Path],
    report: Callable[[str], None] | None,
) -> None:
    """One sentence about what was left out, if anything was."""
    remarks = []
    if listing.left_out:
        remarks.append(f"left out {_parts(listing.left_out)}")
    if animated:
        remarks.append(
            f"took the first picture only of {len(animated):,} with several (first: "
            f"{_below(root, animated[0])!r})"
        )
    if remarks:
        (report or _log.warning)(f"image folder {str(root)!r}: {'; '.join(remarks)}")


def need_pillow() -> None:
    """Raises `ImportError` that says how to install it where Pillow is missing."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "path: reading images needs Pillow; pip install 'robustjax[tools]'"
        ) from error


def _list(root: pathlib.Path) -> Listing:
    """Finds classes and images."""
    left_out: LeftOut = {}
    folders = []
    for entry in _entries(root, root, left_out):
        if entry.is_dir():
            folders.append(entry)
        elif entry.suffix.lower() in SUFFIXES:
            left_out.setdefault(_BESIDE, []).append(_below(root, entry))
    if len(folders) < 2:
        raise ValueError(
            f"path: {str(root)!r} has {len(folders)} sub-folder(s), expected one per "
            f"class and at least two{_but(left_out)}"
        )
    files = []
    for label, folder in enumerate(folders):
        mine: LeftOut = {}
        images = [f for f in _entries(folder, root, mine) if _belongs(f, root, mine)]
        if not images:
            raise ValueError(
                f"path: class folder {folder.name!r} holds no image{_but(mine)} "
                f"({str(folder)!r})"
            )
        files += [(label, file) for file in images]
        for reason, names in mine.items():
            left_out.setdefault(reason, []).extend(names)
    for _, file in files:
        _check_name(file)
    classes = [folder.name for folder in folders]
    check_class_names(classes, name="path")
    return Listing(classes, files, left_out)


def _entries(
    folder: pathlib.Path, root: pathlib.Path, left_out: LeftOut
) -> list[pathlib.Path]:
    """What lies in a folder and is neither hidden nor a system's, in order."""
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if is_system_entry(entry.name):
            continue
        if entry.name.startswith("."):
            left_out.setdefault(_HIDDEN, []).append(_below(root, entry))
        else:
            found.append(entry)
    return found


def _belongs(entry: pathlib.Path, root: pathlib.Path, left_out: LeftOut) -> bool:
    """Whether an entry of a class folder is an image of that class."""
    if entry.is_dir():
        inside = []
        for place, folders, names in os.walk(entry):
            folders[:] = [name for name in folders if not is_system_entry(name)]
            inside += [
                _below(root, pathlib.Path(place, name))
                for name in names
                if not is_system_entry(name)
            ]
        if inside:
            left_out.setdefault(_NESTED, []).extend(inside)
        return False
    # A link to nothing has the suffix still, and is then an image that is missing.
    if entry.suffix.lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
        return True
    if not entry.suffix and entry.is_file() and is_image(entry):
        return True
    left_out.setdefault(_STRANGE, []).append(_below(root, entry))
    return False


def _below(root: pathlib.Path, path: pathlib.Path) -> str:
    return path.relative_to(root).as_posix()


def _check_name(file: pathlib.Path) -> None:
    """Ids and class names end up in files of text."""
    for part in (file.parent.name, file.name):
        try:
            part.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(
                f"path: the name of {str(file)!r} is not UTF-8; rename it"
            ) from None


def check_sizes(files: list[tuple[int, pathlib.Path]], *, same: bool) -> None:
    """Reads all headers, so that what cannot be loaded is known at once."""
    first: tuple[int, int] | None = None
    for _, file in files:
        size = read_size(file)
        first = first or size
        # An orientation may yet exchange height and width.
        if same and sorted(size) != sorted(first):
            raise _other_shape(file, (*size, 3), (*first, 3))


def _other_shape(
    file: pathlib.Path, found: tuple[int, ...], others: tuple[int, ...]
) -> ValueError:
    return ValueError(
        f"path: {str(file)!r} has shape {found}, others {others}; give image_size to "
        "resize them all"
    )


def decode(
    files: list[tuple[int, pathlib.Path]], image_size: int | None
) -> tuple[np.ndarray, list[pathlib.Path]]:
    """(N, H, W, 3) images, and the files that hold several."""
    from PIL import Image

    images = None
    if image_size is not None:
        images = _room(len(files), (image_size, image_size, 3))
    animated = []
    for row, (_, file) in enumerate(files):
        rgb, several = read_rgb(file)
        if several:
            animated.append(file)
        if image_size is not None:
            rgb = rgb.resize((image_size, image_size), Image.Resampling.BILINEAR)
        pixels = np.asarray(rgb)
        if images is None:
            images = _room(len(files), pixels.shape)
        if pixels.shape != images.shape[1:]:
            raise _other_shape(file, pixels.shape, images.shape[1:])
        images[row] = pixels
    assert images is not None
    return images, animated


def _room(count: int, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.empty((count, *shape), np.uint8)
    # NumPy has another error for what no machine could address.
    except (MemoryError, ValueError):
        size = count * math.prod(shape) / 2**30
        raise ValueError(
            f"path: {count:,} images of shape {shape} take {size:,.0f} GiB, more than "
            "there is; give a smaller image_size"
        ) from None


def _but(left_out: LeftOut) -> str:
    return f"; it holds {_parts(left_out)}" if left_out else ""


def _parts(left_out: LeftOut) -> str:
    return ", ".join(
        f"{len(names):,} {reason} (first: {sorted(names)[0]!r})"
        for reason, names in left_out.items()
    )
