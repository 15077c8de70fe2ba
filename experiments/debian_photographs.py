"""A folder of photographs without the objects of CIFAR-10, from Debian's packages.

    python -m experiments.debian_photographs --out=photographs
    python -m experiments.features --preset=cifar10_photographs

Meadows, leaves, mountains, wood and water, taken out of packages of wallpapers that
`apt-get download` fetches; nothing is installed. Drawn pictures are left out, and so
are photographs of a dog, of birds and of boats.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import subprocess
import tempfile

from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax.output_paths import check_output_folder
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.training import StopRequest


@dataclasses.dataclass(frozen=True)
class PhotographConfig:
    """The flags."""

    out: str = option("photographs", "The folder to write; it may not exist yet.")


PHOTOGRAPHS = {
    "mate-backgrounds": [
        f"usr/share/backgrounds/mate/nature/{name}.jpg"
        for name in (
            *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow"),
            *("LadyBird", "RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower"),
        )
    ],
    "lomiri-wallpapers-16.04": [
        f"usr/share/backgrounds/{name}.jpg"
        for name in (
            "Bridge_by_Sander_Klootwijk",
            "Dragonfly_by_Bolly",
            "Picture_0B_by_freespace",
            "aitzgorri_by_Aitzol_Berasategi",
            "life_by_Aitzol_Berasategi",
            "picosdeeuropa_by_Aitzol_Berasategi",
            "seeding_by_Clements_Engelhardt",
            "sunset_by_Aitzol_Berasategi",
        )
    ],
    "plasma-workspace-wallpapers": [
        f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg"
        for name in (
            *("BytheWater", "ColdRipple", "DarkestHour", "FallenLeaf", "Grey"),
            *("OneStandsOut", "Path", "summer_1am"),
        )
    ],
}
"""Package -> files in it."""


def main(stop: StopRequest) -> None:
    """Fetches, unpacks and copies."""
    del stop
    out = pathlib.Path(read_config(PhotographConfig).out)
    check_output_folder("out", out)
    if out.exists():
        raise ValueError(f"out: {str(out)!r} is there, expected a new folder")
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ValueError(f"out: no {tool} here to fetch Debian's packages with")
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        chosen = place / "chosen"
        chosen.mkdir()
        for package, names in PHOTOGRAPHS.items():
            for source in _unpacked(package, place, names):
                # Files of one package may differ by their folders alone.
                parts = source.relative_to(place / package).parts
                name = parts[-4] if parts[-1][0].isdigit() else source.stem
                shutil.copyfile(source, chosen / f"{name}{source.suffix}")
        shutil.copytree(chosen, out)
    say(f"{len(list(out.iterdir()))} photographs in {out}")


def _unpacked(
    package: str, place: pathlib.Path, names: list[str]
) -> list[pathlib.Path]:
    """Files of a package, fetched into `place`.

    Raises:
      ValueError: a package that cannot be had, or that lacks one of them.
    """
    found = subprocess.run(
        ["apt-get", "download", package], cwd=place, capture_output=True, text=True
    )
    archives = sorted(place.glob(f"{package}_*.deb"))
    if found.returncode or not archives:
        words = found.stderr.strip().splitlines() or ["no file came"]
        raise ValueError(f"out: apt-get download {package}: {words[-1]}")
    unpacked = subprocess.run(
        ["dpkg-deb", "-x", archives[0], place / package],
        capture_output=True,
        text=True,
    )
    if unpacked.returncode:
        words = unpacked.stderr.strip().splitlines() or ["it failed"]
        raise ValueError(f"out: dpkg-deb -x {archives[0].name}: {words[-1]}")
    files = [place / package / name for name in names]
    missing = [name for name, file in zip(names, files) if not file.is_file()]
    if missing:
        raise ValueError(f"out: {archives[0].name} has no {missing[0]}")
    return files


if __name__ == "__main__":
    # Not where it is imported: names of flags are of a whole process.
    define_flags(PhotographConfig)
    launch(main, PhotographConfig)
