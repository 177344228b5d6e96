"""Renders the sample photos with POV-Ray: ``python samples/render.py [--quick] [SCENE ...]``.

Each scene is rendered once, in linear light; its photo, or its exposure bracket, is developed from that one render.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
from develop import Pixels, Shot, bracket, develop, save

SAMPLES = Path(__file__).resolve().parent
SCENES = SAMPLES / "scenes"
RENDERS = SAMPLES.parent / ".run" / "samples"
RENDERED, PHOTO, DRAFT = (1800, 1200), (2400, 1600), (600, 400)


@dataclass(frozen=True)
class Photo:
    """One scene and what is developed from it: file name (without suffix, below ``photos``) to shot."""

    scene: str
    shots: dict[str, Shot]


def _single(scene: str, name: str, shot: Shot) -> Photo:
    return Photo(scene, {name: shot})


def _bracket(scene: str, name: str, first: Shot) -> Photo:
    shots = bracket(first, (-4, -2, 0, 2, 4))
    return Photo(scene, {f"{name}-{number}": shot for number, shot in enumerate(shots, 1)})


PHOTOS = (
    _single(
        "maple-living-room",
        "maple-street-12/living-room",
        Shot(
            taken=datetime(2026, 5, 14, 10, 32, 7, 410_000),
            exposure=-0.65,
            cast=(1.07, 1.0, 0.88),
            shutter=Fraction(1, 60),
            description="Living room, Maple Street 12 (rendered, no real place)",
        ),
    ),
    _single(
        "kitchen",
        "maple-street-12/kitchen",
        Shot(
            taken=datetime(2026, 5, 14, 10, 36, 51, 80_000),
            exposure=-0.8,
            cast=(0.96, 1.0, 1.02),
            shutter=Fraction(1, 60),
            description="Kitchen, Maple Street 12 (rendered, no real place)",
        ),
    ),
    _single(
        "bedroom",
        "maple-street-12/bedroom",
        Shot(
            taken=datetime(2026, 5, 14, 10, 41, 22, 730_000),
            exposure=-0.8,
            cast=(1.06, 1.0, 0.9),
            shutter=Fraction(1, 60),
            description="Bedroom, Maple Street 12 (rendered, no real place)",
        ),
    ),
    _bracket(
        "harbour-living-room",
        "harbour-view-3/living-room",
        Shot(
            taken=datetime(2026, 5, 15, 14, 5, 30, 120_000),
            exposure=0.35,
            cast=(1.03, 1.0, 0.95),
            shutter=Fraction(1, 15),
            iso=200,
            description="Living room, Harbour View 3 (rendered, no real place)",
        ),
    ),
)


def render(scene: str, size: tuple[int, int], draft: bool) -> Path:
    """Render a scene to linear OpenEXR; a render newer than the scene and its includes is kept.

    :raises SystemExit: if POV-Ray reports an error; its last lines are shown.
    """
    image = RENDERS / f"{scene}-{size[0]}.exr"
    newest = max(file.stat().st_mtime for file in (SCENES / f"{scene}.pov", *SCENES.glob("*.inc")))
    if image.exists() and image.stat().st_mtime > newest:
        return image
    RENDERS.mkdir(parents=True, exist_ok=True)
    unfinished = image.with_suffix(".part.exr")
    command = ["povray", f"+I{scene}.pov", f"+O{unfinished}", "+FE", f"+W{size[0]}", f"+H{size[1]}", "-D"]
    command += ["+AM2", "+A0.3", "+R2", f"Declare=Draft={int(draft)}", f"+WT{os.cpu_count() or 1}"]
    done = subprocess.run(command, cwd=SCENES, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise SystemExit(f"POV-Ray could not render scenes/{scene}.pov:\n" + "\n".join(done.stderr.splitlines()[-12:]))
    unfinished.replace(image)
    return image


def read_linear(path: Path) -> Pixels:
    """The red, green and blue of an OpenEXR file as float32."""
    with OpenEXR.File(str(path)) as file:
        pixels = file.channels()["RGB"].pixels
    return np.nan_to_num(np.asarray(pixels, dtype=np.float32), posinf=100.0)


def main(argv: list[str] | None = None) -> int:
    scenes = [photo.scene for photo in PHOTOS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", nargs="*", metavar="SCENE", help=f"only these of: {', '.join(scenes)}")
    parser.add_argument("--quick", action="store_true", help="a small draft, in about a minute")
    parser.add_argument("--out", type=Path, help="folder of the JPEGs (default: samples/photos; drafts: .run/samples)")
    options = parser.parse_args(argv)
    unknown = set(options.scene) - set(scenes)
    if unknown:
        parser.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(scenes)}")
    if shutil.which("povray") is None:
        raise SystemExit(
            "povray is not installed: sudo apt-get install povray (Debian, Ubuntu), brew install povray (macOS)"
        )
    out = options.out or (RENDERS / "drafts" if options.quick else SAMPLES / "photos")
    for seed, photo in enumerate(PHOTOS):
        if options.scene and photo.scene not in options.scene:
            continue
        began = time.monotonic()
        print(f"{photo.scene}: rendering", flush=True)
        linear = read_linear(render(photo.scene, DRAFT if options.quick else RENDERED, options.quick))
        for number, (name, shot) in enumerate(photo.shots.items()):
            path = out / f"{name}.jpg"
            quality = save(develop(linear, shot, DRAFT if options.quick else PHOTO, seed * 10 + number), shot, path)
            print(f"  {path} ({path.stat().st_size / 1000:.0f} kB, quality {quality})", flush=True)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
