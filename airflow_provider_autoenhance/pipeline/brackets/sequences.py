"""Cuts one camera's shots into exposure brackets, by capture time and exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from airflow_provider_autoenhance.imaging.exif import CaptureFacts

MAX_PAUSE_SECONDS = 4.0
"""Between the end of one exposure and the begin of the next: a camera needs a fraction of it, a hand on the dial most."""

CAMERAS_PAUSE_SECONDS = 0.5
"""From here on a pause is not the camera's own; nobody turns to another view in less."""

MIN_STEP_EV = 0.2
"""Exposures nearer to each other are the same one; a step of a third is marked as 0.21 to 0.42 EV on shutter dials."""

_MAX_DRIFT_EV = 0.7  # by which the camera's metering changes from one bracket to the next
_PAUSE_UNIT = 0.5  # seconds; differences below it are chance


def cut_into_brackets(facts: Sequence[CaptureFacts]) -> list[int]:
    """Return how many shots each bracket has, in order; 1 for a shot of its own.

    A run goes on while the pictures' shape stays and pauses are short. Within a run no exposure comes twice in a bracket,
    nor does a step of automatic bracketing; so a repetition begins the next one. Steps that all differ are the camera's own
    word, also where the shutter could not follow them. Where several cuts would do, there are as few brackets as can be,
    with the longest pauses between them.

    :param facts: one camera's shots in capture order; each has ``captured_at`` and ``exposure_time``.
    """
    sizes: list[int] = []
    begin = 0
    for end in range(1, len(facts) + 1):
        if end == len(facts) or not _goes_on(facts[end - 1], facts[end]):
            for size in _cut_run(facts[begin:end]):
                sizes += _cut_repetition(facts[begin : begin + size])
                begin += size
    return sizes


def rests_on_exposure_alone(shots: Sequence[CaptureFacts]) -> bool:
    """Whether the camera noted neither steps nor automatic bracketing, and a hand had time for more than the dial.

    Then exposures set by hand and different views look alike.
    """
    if _noted_steps(shots) or all(shot.auto_bracket for shot in shots):
        return False
    return any(_pause(earlier, later) >= CAMERAS_PAUSE_SECONDS for earlier, later in pairwise(shots))


def _noted_steps(shots: Sequence[CaptureFacts]) -> bool:
    """Whether each shot has a bias of its own, as automatic bracketing notes its steps."""
    biases = {shot.exposure_bias for shot in shots}
    return None not in biases and len(biases) == len(shots)


def _goes_on(earlier: CaptureFacts, later: CaptureFacts) -> bool:
    sizes = ((earlier.width, later.width), (earlier.height, later.height))
    unchanged = all(before is None or after is None or before == after for before, after in sizes)
    return unchanged and earlier.panorama == later.panorama and _pause(earlier, later) <= MAX_PAUSE_SECONDS


def _pause(earlier: CaptureFacts, later: CaptureFacts) -> float:
    """Least seconds without exposure between two shots.

    Cameras write the begin of an exposure or its end, so the longer of the two is taken off; and a second where a clock
    has whole ones only.
    """
    if earlier.captured_at is None or later.captured_at is None:
        return math.inf
    apart = (later.captured_at - earlier.captured_at).total_seconds()
    unsure = 0.0 if earlier.captured_at.microsecond and later.captured_at.microsecond else 1.0
    return max(0.0, apart - max(earlier.exposure_time or 0.0, later.exposure_time or 0.0) - unsure)


def _cut_run(run: Sequence[CaptureFacts]) -> list[int]:
    """Dynamic programming from the end: best[n] is the least number of brackets from shot n on, and the first's size."""
    best: list[tuple[int, float, int]] = [(0, 0.0, 0)] * (len(run) + 1)
    for begin in range(len(run) - 1, -1, -1):
        found: tuple[int, float, int] | None = None
        end = begin + 1
        while end <= len(run) and (end == begin + 1 or _is_bracket(run[begin:end])):
            count, pauses, _ = best[end]
            if end < len(run):
                pauses -= _pause(run[end - 1], run[end]) // _PAUSE_UNIT
            if found is None or (count + 1, pauses) <= found[:2]:
                found = count + 1, pauses, end - begin
            end += 1
        best[begin] = found or (0, 0.0, 1)
    sizes, at = [], 0
    while at < len(run):
        sizes.append(best[at][2])
        at += sizes[-1]
    return sizes


def _is_bracket(shots: Sequence[CaptureFacts]) -> bool:
    """Whether the shots are exposures of one scene. What is true of them is true of the first ones, too.

    Automatic bracketing notes its steps as biases; with exposure set by hand many cameras note the same bias for all. With automatic
    exposure and one bias, the camera has seen another scene, or another light. The sensor for orientation flips where the camera looks
    up or down; the camera's own word or its speed tells that from one that was turned.
    """
    if _noted_steps(shots):
        return True
    turned = len({shot.orientation for shot in shots} - {None}) > 1
    if turned and rests_on_exposure_alone(shots):
        return False
    biases = [shot.exposure_bias for shot in shots if shot.exposure_bias is not None]
    if len(set(biases)) not in (0, 1, len(biases)):
        return False
    chosen = [shot.exposure_bias for shot in shots if shot.auto_exposure]
    if len(set(chosen)) < len(chosen):
        return False
    return all(above - below >= MIN_STEP_EV for below, above in pairwise(sorted(_exposures(shots))))


def _cut_repetition(bracket: Sequence[CaptureFacts]) -> list[int]:
    """Cut where a sequence of steps is repeated a little brighter or darker: the light changed from one to the next."""
    values = _exposures(bracket)
    biases = {shot.exposure_bias for shot in bracket}
    if len(biases) == len(bracket):
        return [len(bracket)]
    for size in range(2, len(bracket) // 2 + 1):
        if len(bracket) % size == 0 and _repeats(values, size):
            return [size] * (len(bracket) // size)
    return [len(bracket)]


def _repeats(values: Sequence[float], size: int) -> bool:
    ordered = sorted(values[:size])
    most = min(_MAX_DRIFT_EV, *((above - below) / 2 for below, above in pairwise(ordered)))
    for begin in range(size, len(values), size):
        drifts = [values[begin + n] - values[n] for n in range(size)]
        if max(drifts) - min(drifts) >= MIN_STEP_EV or max(map(abs, drifts)) > most:
            return False
    return True


def _exposures(shots: Sequence[CaptureFacts]) -> list[float]:
    return [shot.exposure_value or 0.0 for shot in shots]
