"""What may be asked of an output, and where it is made."""

from __future__ import annotations

import pickle
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.naming import EXTENSIONS, file_name, format_of_extension, output_name
from airflow_provider_autoenhance.imaging.output import COMPRESSIONS, OutputSpec, outputs_of
from airflow_provider_autoenhance.imaging.purchase import output_names, plan_outputs


class TestSpelling:
    @pytest.mark.parametrize(
        ("value", "same"),
        [
            (None, {}),
            ("", {}),
            ("JPG", {"format": "jpeg"}),
            (" tif ", {"format": "tiff"}),
            ('{"format": "png", "dpi": "300"}', {"format": "png", "dpi": 300}),
            ({"format": "webp", "quality": "80", "dpi": None, "scale": ""}, {"format": "webp", "quality": 80}),
            (
                {"format": {"type": "jpeg", "quality": 70, "progressive": "False"}},
                {"format": "jpeg", "quality": 70, "progressive": False},
            ),
            (
                {"format": {"type": "tif", "compression": {"type": "lossy", "quality": 60}}},
                {"format": "tiff", "compression": "lossy", "quality": 60},
            ),
            (
                {"color_space": {"type": "cmyk", "color_profile": "usweb_coated"}},
                {"color_space": "CMYK", "color_profile": "USWeb_Coated"},
            ),
            (
                {"metadata": {"dpi": 300, "color_space": {"type": "CMYK", "color_profile": "ISO_Coated"}}},
                {"dpi": 300, "color_space": "CMYK", "color_profile": "ISO_Coated"},
            ),
            ({"color_profile": "ISO_Uncoated"}, {"color_space": "CMYK", "color_profile": "ISO_Uncoated"}),
            ({"color_profile": "SRGB"}, {"color_space": "RGB", "color_profile": "sRGB"}),
            (OutputSpec(format="png"), {"format": "png"}),
        ],
        ids=str,
    )
    def test_one_output(self, value: Any, same: dict[str, Any]) -> None:
        output = OutputSpec.of(value)
        assert output == OutputSpec(**same)
        assert pickle.loads(pickle.dumps(output)) == output

    def test_a_list_of_outputs(self) -> None:
        both = (OutputSpec(format="avif"), OutputSpec(format="webp"))
        assert outputs_of(["avif", {"format": "webp"}]) == both
        assert outputs_of('["avif", {"format": "webp"}]') == both
        assert outputs_of(both) == both
        assert outputs_of("avif") == both[:1]
        assert outputs_of(None) == (OutputSpec(),)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"qualty": 5}, "Unknown output field 'qualty'. Did you mean 'quality'?"),
            ({"sharpen": 5}, "Unknown output field 'sharpen'. Known: format, quality,"),
            ({"format": {"type": "jpeg", "lossless": True}}, "Unknown output field 'lossless'"),
            ({"format": {"quality": 5}}, "output format as an object needs 'type'"),
            ({"format": {"type": "jpeg", "quality": 5}, "quality": 6}, "output quality is given twice"),
            ("bmp", "output format takes one of jpeg, png, tiff, webp, avif, jxl, not 'bmp'"),
            ("{not json", "takes a format or an object"),
            (7, "takes a format or an object"),
            ([], "empty list"),
            ({"quality": 0}, "output quality takes a number from 1 to 100, not 0"),
            ({"quality": 101}, "from 1 to 100"),
            ({"quality": 50.5}, "from 1 to 100"),
            ({"quality": True}, "from 1 to 100"),
            ({"format": "jxl", "quality": 91}, "output quality takes a number from 1 to 90, not 91"),
            ({"dpi": 0}, "output dpi takes a number from 1 to 65535, not 0"),
            ({"dpi": 65536}, "from 1 to 65535"),
            ({"max_width": 0}, "output max_width takes a number of at least 1"),
            ({"scale": 0}, "output scale takes a number above 0"),
            ({"scale": 1.01}, "output scale takes a number from 0 to 1"),
            ({"scale": float("nan")}, "output scale takes a number"),
            ({"max_width": float("inf")}, "output max_width takes a number"),
            ({"progressive": "yes"}, "output progressive takes true or false, not 'yes'"),
            ({"embed_profile": 3}, "output embed_profile takes true or false"),
            ({"format": "png", "progressive": True}, "output progressive goes with format jpeg only, not with png"),
            ({"format": "png", "quality": 80}, "output quality goes with lossy formats, not with lossless png"),
            ({"format": "webp", "compression": "lossless", "quality": 80}, "not with lossless webp"),
            ({"format": "png", "compression": "lossless"}, "output compression takes one of optimal, fast, best"),
            ({"compression": "best"}, "output compression goes with format png, tiff, webp, avif, not with jpeg, the default"),
            ({"dpi": 72, "metadata": {"dpi": 300}}, "output dpi is given twice: inside metadata and beside it"),
            ({"metadata": {"author": "me"}}, "output metadata takes an object with 'dpi' and 'color_space'"),
            ({"format": "tiff", "quality": "as_rendered"}, "as_rendered is Autoenhance's own, which does not do format tiff"),
            ({"format": "png", "quality": "as_rendered"}, "not with lossless png"),
            ({"color_space": "HSV"}, "output color_space takes one of RGB, CMYK"),
            ({"color_space": "RGB", "color_profile": "ISO_Coated"}, "color_profile ISO_Coated is CMYK, but color_space says RGB"),
            ({"color_profile": "/icc/mine.icc"}, "'/icc/mine.icc' needs color_space beside it"),
            ({"format": "jxl", "embed_profile": False}, "jxl is rendered by Autoenhance alone, which does not do embed_profile"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_refused(self, value: Any, message: str) -> None:
        with pytest.raises(SettingsError) as caught:
            outputs_of(value)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("format", [name for name in EXTENSIONS if name != "jpeg"])
    @pytest.mark.parametrize("color", [{"color_space": "CMYK"}, {"color_profile": "ISO_Coated"}])
    def test_cmyk_is_for_jpeg_alone(self, format: str, color: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match=f"CMYK goes with format jpeg only, not with {format}"):
            OutputSpec(format=format, **color)  # type: ignore[arg-type]


class TestPurchase:
    @pytest.mark.parametrize(
        ("value", "query"),
        [
            (None, {"format": "jpeg", "quality": "85"}),
            ({"quality": " As_Rendered "}, {"format": "jpeg"}),
            ({"quality": 90, "dpi": 72}, {"format": "jpeg", "quality": "90", "dpi": "72"}),
            ({"format": "png", "max_width": 800, "scale": 0.5}, {"format": "png", "max_width": "800", "scale": "0.5"}),
            ({"format": "webp", "compression": "lossy", "quality": 1}, {"format": "webp", "quality": "1"}),
            ("webp", {"format": "webp", "quality": "75"}),
            ("avif", {"format": "avif", "quality": "50"}),
            ({"format": "jxl", "quality": 90}, {"format": "jxl", "quality": "90"}),
            ({"color_space": "RGB", "embed_profile": True}, {"format": "jpeg", "quality": "85"}),
        ],
        ids=str,
    )
    def test_what_autoenhance_renders(self, value: Any, query: dict[str, str]) -> None:
        purchase = plan_outputs(outputs_of(value))
        assert purchase.queries() == [query]
        assert purchase.converted == ()

    @pytest.mark.parametrize(
        "value",
        [
            "tiff",
            {"quality": 91},
            {"dpi": 71},
            {"progressive": True},
            {"progressive": False},
            {"color_space": "CMYK"},
            {"color_profile": "sRGB"},
            {"embed_profile": False},
            *({"format": name, "compression": way} for name in ("webp", "avif") for way in COMPRESSIONS[name][1:]),
            *({"format": "png", "compression": way} for way in COMPRESSIONS["png"]),
        ],
        ids=str,
    )
    def test_what_is_encoded_here_from_a_lossless_download(self, value: Any) -> None:
        outputs = outputs_of(value)
        purchase = plan_outputs(outputs)
        assert purchase.queries() == [{"format": "png"}]
        assert purchase.converted == purchase.outputs
        assert purchase.rendered == ()
        with pytest.raises(SettingsError, match="does not render"):
            outputs[0].query()

    def test_several_that_it_renders(self) -> None:
        purchase = plan_outputs(outputs_of(["webp", "avif"]))
        assert purchase.queries() == [{"format": "webp", "quality": "75"}, {"format": "avif", "quality": "50"}]
        assert purchase.outputs[0].query(preview=True) == {"format": "webp"}, "a preview's quality is Autoenhance's"

    def test_what_is_asked_for_as_rendered_is_not_encoded_here_beside_others(self) -> None:
        purchase = plan_outputs(outputs_of([{"format": "webp", "quality": "as_rendered"}, "tiff"]))
        assert purchase.queries() == [{"format": "png"}, {"format": "webp"}]
        assert [output.format for output in purchase.converted] == ["tiff"]

    def test_one_that_it_does_not_render_takes_all_along(self) -> None:
        purchase = plan_outputs(outputs_of(["webp", {"color_space": "CMYK"}, "jxl"]))
        assert [output.format for output in purchase.converted] == ["webp", "jpeg"]
        assert [output.format for output in purchase.rendered] == ["jxl"]
        assert purchase.queries() == [{"format": "png"}, {"format": "jxl"}]
        assert [output.format for output in purchase.outputs] == ["webp", "jpeg", "jxl"]

    def test_equal_outputs_have_equal_records(self) -> None:
        assert OutputSpec(format="jpeg", quality=80, name_template="x").request() == {"format": "jpeg", "quality": "80"}
        assert OutputSpec(embed_profile=False, progressive=True).request() == {
            "embed_profile": "False",
            "progressive": "True",
        }

    def test_a_record_holds_no_signature(self) -> None:
        output = OutputSpec(color_space="CMYK", color_profile="https://host/a.icc?X-Amz-Signature=s3cr3t")
        assert "s3cr3t" not in str(output.request())


class TestNames:
    def test_by_default_the_photos_own(self) -> None:
        assert output_names(outputs_of(["jpeg", "tiff", "webp"]), "shoot/a.jpg") == [
            "shoot/a.jpg",
            "shoot/a.jpg.tif",
            "shoot/a.jpg.webp",
        ]

    def test_by_template(self) -> None:
        outputs = outputs_of(
            [
                {"name_template": "{folder}print/{stem}-{fingerprint}"},
                {"name_template": "web/{stem}.{extension}", "format": "avif"},
                "png",
            ]
        )
        names = output_names(outputs, "shoot/a.dng", fingerprint="abcdef0123456", template="{name}")
        assert names == ["shoot/print/a-abcdef01.jpg", "web/a.avif", "a.dng.png"]

    @pytest.mark.parametrize(
        "outputs",
        [
            ["jpeg", {"quality": 50}],
            ["jpeg", {"format": "jpeg", "name_template": "{folder}{stem}.dng.JPG"}],
            [{"name_template": "x"}, {"name_template": "../x.jpg"}],
        ],
    )
    def test_two_of_the_same_name_are_refused(self, outputs: Any) -> None:
        with pytest.raises(SettingsError, match="two outputs would both be named"):
            plan_outputs(outputs_of(outputs))

    @pytest.mark.parametrize("template", ["{stem", "{nope}", "{stem.__class__}", "{0}", "{}", "./..", " "])
    def test_a_bad_template_is_refused_before_anything_is_sent(self, template: str) -> None:
        with pytest.raises(SettingsError, match="name_template"):
            plan_outputs(outputs_of({"name_template": template}))

    @given(st.text(string.ascii_letters + "./\\ ~:?#\0\n%", max_size=30), st.sampled_from(sorted(EXTENSIONS)))
    def test_no_name_leaves_its_folder(self, path: str, format: str) -> None:
        for name in (file_name(path, format), output_name(path, format, template="x/{folder}../{stem}")):
            parts = name.split("/")
            assert ".." not in parts
            assert "" not in parts
            assert "." not in parts
            assert not set("\\\0\n?#") & set(name)
            assert format_of_extension(name) == format
