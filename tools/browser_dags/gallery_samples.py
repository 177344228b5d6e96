"""A task that has "enhanced" many photos, for the browser test: its list and its thumbnails, without Autoenhance."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import dag

from airflow_provider_autoenhance import AutoenhanceEnhanceOperator

SAMPLES = Path("@SAMPLES@")
OUT = Path("@OUT@")
REASONS = {
    "failed": "The file ends before its image does. Upload it again.",
    "held": "Over max_credits=990 of this run.",
}


class SampleOperator(AutoenhanceEnhanceOperator):
    """Writes what a batch would, of each sample photo many times."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Write thumbnails, outputs and the list."""
        from PIL import Image, ImageDraw, ImageEnhance

        thumbnails = OUT / ".autoenhance" / "thumbnails"
        thumbnails.mkdir(parents=True, exist_ok=True)
        pictures = []
        for file in sorted(SAMPLES.glob("*/*.jpg")):
            photo = Image.open(file).convert("RGB")
            photo.thumbnail((640, 640))
            pictures.append((file, photo, ImageEnhance.Color(ImageEnhance.Brightness(photo).enhance(1.3)).enhance(1.4)))
        photos = []
        for number in range(int(self.params["photos"])):
            file, before, after = pictures[number % len(pictures)]
            state = "failed" if number % 97 == 5 else "held" if number % 211 == 7 else "landed"
            for kind, picture in (("before", before), ("after", after)):
                marked = picture.copy()
                ImageDraw.Draw(marked).text(
                    (12, 12), f"{number} {kind}", fill="white", stroke_width=2, stroke_fill="black"
                )
                data = io.BytesIO()
                marked.save(data, "WEBP", quality=60, method=0)
                (thumbnails / f"{number}-{kind}.webp").write_bytes(data.getvalue())
            listing = f"listing-{number // 40}"
            output = f"{listing}/{file.stem}-{number}.jpg"
            if number < 20:
                (OUT / listing).mkdir(exist_ok=True)
                (OUT / output).write_bytes(file.read_bytes())
            landed = state == "landed"
            photos.append(
                {
                    "name": "<b>hostile & odd</b>.jpg" if number == 3 else f"{file.stem}-{number}.jpg",
                    "listing": listing,
                    "state": state,
                    "reason": REASONS.get(state),
                    "before": f"{number}-before.webp",
                    "after": f"{number}-after.webp" if landed else None,
                    "settings": {"enhance_type": "warm", "sky_replacement": True},
                    "credits": int(landed),
                    "outputs": [
                        {"name": output, "bytes": file.stat().st_size, "format": "jpeg", "width": 1600, "height": 1067}
                    ]
                    if landed
                    else [],
                    "exposures": [f"DSC{number}{each}.jpg" for each in range(3)] if number % 10 == 0 else [],
                    "image_id": f"image-{number}",
                    "order_id": f"order-{number // 40}",
                    "parent": None,
                    "seconds": 12.5 + number % 7,
                }
            )
        ti = context["ti"]
        uri = f"{OUT}/autoenhance-gallery.json"
        whole = {
            "version": 1,
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": ti.task_id,
            "map_index": -1,
            "photos": photos,
        }
        Path(uri).write_text(json.dumps({**whole, "written_at": "2026-11-27T20:00:00+00:00", "destination": f"{OUT}/"}))
        for name, value in (
            ("gallery", uri),
            ("manifest", uri),
            ("photos", len(photos)),
            ("landed", sum(each["credits"] for each in photos)),
            ("failed", sum(each["state"] == "failed" for each in photos)),
            ("credits", sum(each["credits"] for each in photos)),
        ):
            ti.xcom_push(key=name, value=value)
        return {"gallery": uri}


@dag(schedule=None, params={"photos": 1000})
def gallery_samples() -> None:
    """One task."""
    SampleOperator(task_id="enhance", source="s3://listings/", destination=f"{OUT}/")


gallery_samples()
