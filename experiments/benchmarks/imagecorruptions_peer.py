"""The other side of `image_corruptions`: a process that runs `imagecorruptions`.

It has its own interpreter, for that package may need older ones of others. It reads
one line with the path of the images and then one request a line, `name severity`, and
answers when all images are changed. Needs NumPy and imagecorruptions, nothing of ours.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import warnings
from typing import Any

import numpy as np


def main() -> None:
    """Answers with versions, and then to every request."""
    warnings.simplefilter("ignore")
    import imagecorruptions
    from imagecorruptions import corruptions
    from skimage import filters

    if "multichannel" not in inspect.signature(filters.gaussian).parameters:
        # New versions of scikit-image say it in another way.
        def gaussian(image: Any, *arguments: Any, **options: Any) -> Any:
            axis = -1 if options.pop("multichannel", False) else None
            return filters.gaussian(image, *arguments, channel_axis=axis, **options)

        corruptions.gaussian = gaussian
    images = np.load(sys.stdin.readline().strip())
    versions = (
        f"{package} {importlib.metadata.version(package)}"
        for package in ("imagecorruptions", "numpy", "scikit-image")
    )
    print(", ".join(versions), flush=True)
    for line in sys.stdin:
        name, severity = line.split()
        for image in images:
            imagecorruptions.corrupt(
                image, corruption_name=name, severity=int(severity)
            )
        print("done", flush=True)


if __name__ == "__main__":
    main()
