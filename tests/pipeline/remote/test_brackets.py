"""What an order of brackets tells, also where the API does not say which image a bracket went into."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_autoenhance.api.models import Bracket, Image, ImageStatus, Order
from airflow_provider_autoenhance.pipeline.job import Job, Run
from airflow_provider_autoenhance.pipeline.photo import Photo, as_exposure, merged_photo
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, orphans
from airflow_provider_autoenhance.pipeline.remote.identity import exposure_metadata
from airflow_provider_autoenhance.pipeline.remote.images import images_by_fingerprint
from airflow_provider_autoenhance.pipeline.sources import SourceFile, Sources

JOB = Job(
    run=Run("nightly", "enhance", "night-1"), sources=Sources(["s3://a/"]), destination="s3://b/", brackets="exif"
)


def shot(name: str) -> Photo:
    return as_exposure(
        JOB, Photo(SourceFile(f"s3://a/{name}", f"s3://a/{name}"), name, 10, name, "", "", (f"s3://b/{name}",))
    )


SHOTS = [shot(f"{number}.jpg") for number in range(6)]
PHOTOS = [merged_photo(JOB, SHOTS[:3]), merged_photo(JOB, SHOTS[3:])]
LOOSE = {each.fingerprint: each for each in SHOTS}


def order(*photos: Photo, told: bool, auto: bool = False, status: ImageStatus = ImageStatus.PROCESSED) -> BracketOrder:
    """An order that was processed. ``told``: its brackets say which image they went into."""
    images = [Image(f"i{number}", photo.exposures[0].image_name, "o1", status) for number, photo in enumerate(photos)]
    brackets = [
        Bracket(
            f"b{exposure.source}",
            exposure.image_name,
            "o1",
            is_uploaded=True,
            image_id=image.image_id if told else None,
            metadata=exposure_metadata(replace(photo, ungrouped=auto), exposure),
        )
        for photo, image in zip(photos, images, strict=True)
        for exposure in photo.exposures
    ]
    under_way = status is ImageStatus.PROCESSING
    return BracketOrder(Order("o1", "maple", "", False, under_way, False, tuple(images)), tuple(brackets))


@pytest.mark.parametrize("told", [True, False])
def test_each_photo_finds_its_image(told: bool) -> None:
    read = order(*PHOTOS, told=told)
    assert [image.image_id for photo in PHOTOS if (image := read.image_of(photo))] == ["i0", "i1"]
    assert not any(read.refused(photo) or read.is_merging(photo) for photo in PHOTOS)


@pytest.mark.parametrize("told", [True, False])
def test_autoenhance_s_own_groups_are_read_back(told: bool) -> None:
    read = order(*PHOTOS, told=told, auto=True)
    assert list(read.grouped(LOOSE)) == [SHOTS[:3], SHOTS[3:]]
    gone = {key: exposure for key, exposure in LOOSE.items() if exposure is not SHOTS[4]}
    assert list(read.grouped(gone)) == [SHOTS[:3]], "a source that is gone or has changed keeps its image out"


@pytest.mark.parametrize("told", [True, False])
def test_an_image_of_more_or_fewer_exposures_is_another_photo(told: bool) -> None:
    """As when an exposure is taken out of the folder, or put into it, after Autoenhance has grouped them."""
    read = order(*PHOTOS, told=told, auto=True)
    others = [merged_photo(JOB, [SHOTS[0]], ungrouped=True), merged_photo(JOB, SHOTS[1:3]), merged_photo(JOB, SHOTS)]
    assert [read.image_of(photo) for photo in others] == [None, None, None]
    assert not any(read.refused(photo) for photo in others), "something came of each exposure"
    assert [image.image_id for photo in PHOTOS if (image := read.image_of(photo))] == ["i0", "i1"]


def test_what_came_of_nothing_is_refused_only_when_merging_is_over() -> None:
    lost = order(*PHOTOS, told=True)
    lost = BracketOrder(
        replace(lost.order, images=lost.order.images[:1]), tuple(replace(b, image_id=None) for b in lost.brackets)
    )
    assert [lost.refused(photo) for photo in PHOTOS] == [False, True]
    merging = BracketOrder(replace(lost.order, is_merging=True, images=()), lost.brackets)
    assert [merging.is_merging(photo) for photo in PHOTOS] == [True, True]
    assert not any(merging.refused(photo) for photo in PHOTOS)


def test_a_fresh_order_is_neither_processed_nor_merging() -> None:
    read = order(*PHOTOS, told=False)
    fresh = BracketOrder(replace(read.order, images=()), read.brackets)
    assert not fresh.processed
    assert not any(fresh.is_merging(photo) or fresh.refused(photo) for photo in PHOTOS)


def test_another_grouping_of_the_same_exposures_is_another_photo() -> None:
    read = order(*PHOTOS, told=True)
    regrouped = merged_photo(JOB, SHOTS[:4])
    assert read.image_of(regrouped) is None
    assert not read.is_merging(regrouped)


def test_orphans_are_what_no_photo_waits_for() -> None:
    read = order(PHOTOS[0], told=False)
    twice = replace(read.brackets[1], bracket_id="again")
    never = replace(read.brackets[2], bracket_id="never", is_uploaded=False)
    read = BracketOrder(read.order, (*read.brackets, twice, never))
    assert [each["bracket_id"] for each in orphans(read, [PHOTOS[0]])] == ["again", "never"]
    assert len(list(orphans(read, []))) == 5


def test_an_order_whose_images_were_deleted_is_not_processed_again_nor_waited_for() -> None:
    read = order(*PHOTOS, told=True)
    lost = BracketOrder(replace(read.order, images=()), read.brackets)
    assert lost.processed and not lost.under_way
    assert [lost.made_of(photo) for photo in PHOTOS] == ["i0", "i1"]
    assert not any(lost.is_merging(photo) or lost.refused(photo) for photo in PHOTOS)
    one = BracketOrder(replace(read.order, images=read.order.images[:1]), read.brackets)
    assert not one.refused(PHOTOS[1]), "an image was merged from it, and is gone"


@pytest.mark.parametrize("value", [None, 7, True, [], ["x"], {"a": 1}, ""])
def test_metadata_that_others_wrote_match_no_photo(value: object) -> None:
    read = order(*PHOTOS, told=True)
    odd = {"exposure": value, "fingerprint": value}
    strange = replace(
        read,
        order=replace(read.order, images=tuple(replace(image, metadata=odd) for image in read.order.images)),
        brackets=(*read.brackets, *(replace(bracket, metadata=odd, image_id="i9") for bracket in read.brackets)),
    )
    assert [image.image_id for photo in PHOTOS if (image := strange.image_of(photo))] == ["i0", "i1"]
    assert list(strange.grouped(LOOSE)) == [SHOTS[:3], SHOTS[3:]]
    assert strange.uploaded(LOOSE) == SHOTS
    assert images_by_fingerprint([strange.order], [PHOTOS[0]]).keys() <= {PHOTOS[0].fingerprint}
