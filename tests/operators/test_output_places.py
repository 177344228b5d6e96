"""Outputs and sources as Image I/O spells them: an output names its destination, a source is an object, and without a destination results
live for a day."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.decorators.autoenhance import autoenhance_task
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.operators.orders import AutoenhanceDownloadOrderOperator
from tests.support.batch import fill, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

FILE = "storage://print-shop/12-maple/kitchen.jpg"
#: As the page of Image I/O has it.
OUTPUT = {
    "destination": FILE,
    "format": {"type": "jpeg", "quality": 85, "progressive": True},
    "metadata": {"dpi": 300, "color_space": {"type": "CMYK", "color_profile": "ISO_Coated"}},
}
SOURCE = "storage://photos/maple/"


def connect(sandbox: Sandbox, patch: pytest.MonkeyPatch, **extra: Any) -> None:
    extra["storages"] = {"photos": "s3://aws_default@listings/", "print-shop": "s3://enhanced/shop/"}
    fields = {"conn_type": "autoenhance", "host": sandbox.url, "password": sandbox.api_key, "extra": extra}
    patch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))


@pytest.fixture(autouse=True)
def storages(autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(autoenhance, monkeypatch)


def batch(**options: Any) -> Any:
    about = {"task_id": "enhance", "source": SOURCE, "preview": False, "poll_interval": 0.1} | options
    return AutoenhanceEnhanceOperator(**about)


def rendered(it: Any, run_id: str = "night-1", **params: Any) -> Any:
    """Render as Airflow does, and execute."""
    about = {**context(it, run_id=run_id), "params": params, "ds": "2026-02-01", "task": it}
    it.render_template_fields(about)
    return it.execute(about)


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_an_output_of_a_form_lands_one_photo_in_its_file_once(
    native: bool, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    s3.put("maple/kitchen.png", photo("png"))
    for run_id, output in (("night-1", OUTPUT), ("night-2", json.dumps(OUTPUT))):
        with DAG("nightly", schedule=None, render_template_as_native_obj=native):
            it = batch(source="{{ params.source }}", output_spec="{{ params.output }}")
        params = {"source": f"{SOURCE}kitchen.png", "output": output}
        it.render_template_fields({**context(it), "params": params, "task": it})
        assert it.destination == FILE, "Airflow stores it, and the gallery asks for it there"
        summary = run(it, run_id=run_id)
        assert (summary["photos"], summary["landed"]) == (1, int(run_id == "night-1"))
    assert outputs(s3) == ["shop/12-maple/kitchen.jpg"]
    s3.client.delete_object(Bucket="enhanced", Key="shop/12-maple/kitchen.jpg")
    again = run(batch(source=[f"{SOURCE}kitchen.png"], output_spec=OutputSpec.of(OUTPUT)), run_id="night-3")
    assert (again["landed"], again["credits"], autoenhance.ledger()["images_created"]) == (1, 0, 1)
    assert outputs(s3) == ["shop/12-maple/kitchen.jpg"]


def test_an_output_names_the_folder_of_a_batch(s3: SimpleNamespace) -> None:
    fill(s3, 2)
    folder = "storage://print-shop/{{ ds }}/"
    summary = rendered(batch(output_spec={"destination": folder, "format": "png"}))
    assert (summary["landed"], summary["manifest"]) == (2, "s3://enhanced/shop/2026-02-01/autoenhance-manifest.jsonl")
    assert outputs(s3) == [f"shop/2026-02-01/{number:03}.jpg.png" for number in range(2)]
    again = rendered(batch(output_spec=[{"destination": folder, "format": "png"}], destination=folder), "night-2")
    assert again["skipped"] == 2
    assert run(batch(output_spec="storage://print-shop/plain/"))["landed"] == 2
    assert "shop/plain/000.jpg" in outputs(s3)


def test_downloads_go_where_their_output_says(s3: SimpleNamespace) -> None:
    fill(s3, 1)
    summary = run(batch(destination="s3://enhanced/"))
    (order_id,) = summary["order_ids"]
    (image,) = AutoenhanceHook().get_order(order_id).images
    about = {"task_id": "download", "image_id": image.image_id, "preview": False}
    landed = run(AutoenhanceDownloadImageOperator(**about, output_spec=OUTPUT))
    assert (landed["uri"], landed["credit_spent"]) == ("s3://enhanced/shop/12-maple/kitchen.jpg", False)
    order = AutoenhanceDownloadOrderOperator(
        task_id="order", order_id=order_id, output_spec={"destination": "storage://print-shop/all/", "format": "webp"}
    )
    assert run(order)["destination"] == "s3://enhanced/shop/all/"
    with pytest.raises(AirflowFailException, match="named like one image"):
        run(AutoenhanceDownloadOrderOperator(task_id="order", order_id=order_id, output_spec=OUTPUT))
    with pytest.raises(errors.SettingsError, match="all mapped tasks would write to 'kitchen.jpg'"):
        AutoenhanceDownloadImageOperator.partial(task_id="mapped", output_spec=OUTPUT)


def test_a_function_may_return_such_an_output(s3: SimpleNamespace, airflow_db: None) -> None:
    fill(s3, 1)

    def tonight() -> Any:
        return {"source": f"{SOURCE}000.jpg", "output_spec": OutputSpec(destination=FILE)}

    with DAG("nightly", schedule=None):
        it = autoenhance_task(preview=False, poll_interval=0.1)(tonight)().operator
    assert run(it)["landed"] == 1
    assert outputs(s3) == ["shop/12-maple/kitchen.jpg"]

    def nowhere() -> Any:
        return {"source": SOURCE, "destination": None}

    with DAG("nightly", schedule=None):
        it = autoenhance_task(durable=False)(nowhere)().operator
    with pytest.raises(AirflowFailException, match="destination is empty; check"):
        run(it)


def test_a_source_is_an_object_as_in_code_so_in_a_form(s3: SimpleNamespace) -> None:
    fill(s3, 1)
    s3.put("maple/deep/a.jpg", photo(shade=90))
    for value, photos in [
        ({"source": SOURCE}, 2), ({"source": SOURCE, "recursive": False}, 1), ([f"{SOURCE}000.jpg", f"{SOURCE}deep/"], 2),
    ]:  # fmt: skip
        for given in (value, json.dumps(value)):
            it = batch(source="{{ params.source }}", destination="s3://enhanced/", plan_only=True)
            assert rendered(it, source=given)["photos"] == photos
            for place in ("s3://enhanced/", "s3://enhanced/{{ ds }}/"):
                assert rendered(batch(source=given, destination=place, plan_only=True))["photos"] == photos


def test_what_does_not_go_together_is_told_when_the_file_is_parsed(autoenhance: Sandbox) -> None:
    one = {"source": f"{SOURCE}kitchen.png"}
    elsewhere = {**OUTPUT, "destination": "s3://enhanced/"}
    for options, told in [
        ({"output_spec": OUTPUT}, "named like one image"),
        ({**one, "output_spec": OUTPUT, "destination": "s3://enhanced/"}, "do not name the same destination"),
        ({"output_spec": [elsewhere, "webp"]}, "do not name the same destination"),
        ({"output_spec": [elsewhere, {"format": "webp", "destination": "s3://listings/"}]}, "do not name the same destination"),
        ({**one, "output_spec": {"destination": FILE, "format": "png"}}, "does not fit output format 'png'"),
        ({**one, "output_spec": ["jpeg", "png"], "destination": FILE}, "2 outputs need a folder"),
        ({**one, "destination": FILE, "destination_template": "{name}"}, "destination names a file, 'kitchen.jpg'"),
        ({**one, "destination": FILE, "dusk": ["kitchen.png"]}, "destination names a file, 'kitchen.jpg'"),
        ({**one, "output_spec": {**OUTPUT, "name_template": "{stem}_print"}}, "destination names a file, 'kitchen.jpg'"),
        ({**one, "destination": "s3://enhanced/kitchen #1.jpg"}, "call it 'kitchen _1.jpg'"),
        ({**one, "destination": "s3://enhanced/{kitchen}.jpg"}, "call it '_kitchen_.jpg'"),
        ({"output_spec": {"destination": 3}}, "output destination takes a URI"),
        ({"output_spec": "png"}, "a temporary place forgets"),
        ({"output_spec": "image/jpeg", "destination": "s3://enhanced/"}, "format"),
        ({"source": {"source": SOURCE, "deep": True}, "destination": "s3://enhanced/"}, "'source' and 'recursive'"),
        ({"source": {"source": SOURCE, "recursive": 3}, "destination": "s3://{{ ds }}/"}, "recursive takes true or false"),
    ]:  # fmt: skip
        with pytest.raises(errors.SettingsError, match=told):
            batch(**options)
    with pytest.raises(AirflowFailException, match="a temporary place forgets"):
        rendered(batch(output_spec="{{ params.output }}"), output="png")
    assert autoenhance.ledger()["requests"] == {}


def test_one_place_is_not_a_list_nor_on_the_web(autoenhance: Sandbox) -> None:
    for place, told in [
        ("['/data/out/']", "takes one place"), ('{"uri": "/data/out/"}', "takes one place"),
        ("https://host.example/a.jpg?X-Amz-Signature=5ec2e7", "https://host.example/a.jpg: the web can be a source only"),
    ]:  # fmt: skip
        for make in (
            batch,
            lambda **given: AutoenhanceDownloadImageOperator(task_id="one", image_id="some", **given),
            lambda **given: AutoenhanceDownloadOrderOperator(task_id="all", order_id="some", **given),
        ):
            for given in ({"destination": place}, {"output_spec": {"destination": place}}):
                with pytest.raises(errors.SettingsError, match=told) as refused:
                    make(**given)
                assert "5ec2e7" not in str(refused.value)
            with pytest.raises(AirflowFailException, match=told):
                rendered(make(destination="{{ params.place }}"), place=place)
    assert autoenhance.ledger()["requests"] == {}


def test_one_place_may_be_spelled_in_several_ways(s3: SimpleNamespace, tmp_path: Path) -> None:
    fill(s3, 1)
    folder = tmp_path / "out"
    for number, given in enumerate([
        {"output_spec": folder}, {"output_spec": {"destination": folder}, "destination": f"{folder}/"},
        {"output_spec": [{"destination": folder}, {"destination": f"{folder}/", "format": "webp"}]},
    ]):  # fmt: skip
        assert rendered(batch(**given), f"night-{number}")["manifest"] == f"{folder}/autoenhance-manifest.jsonl"
    assert sorted(each.name for each in folder.glob("000*")) == ["000.jpg", "000.jpg.webp"]
    with pytest.raises(errors.SettingsError, match="same destination: 's3://enhanced/a', 'none'"):
        batch(output_spec=[{"destination": "s3://enhanced/a/"}, "webp"])


def test_a_download_into_a_bucket_or_an_odd_name(enhanced: str) -> None:
    about = {"task_id": "download", "image_id": enhanced}
    assert (
        run(AutoenhanceDownloadImageOperator(**about, destination="s3://enhanced"))["uri"]
        == "s3://enhanced/maple/kitchen.jpg"
    )
    batch(destination="s3://photos.jpg", source=f"{SOURCE}kitchen.png")  # a bucket may be called so
    with pytest.raises(AirflowFailException, match="'out' is neither a folder"):
        run(AutoenhanceDownloadImageOperator(**about, destination="s3://enhanced/out"))


def test_what_a_mapped_task_gets_is_not_left_out(autoenhance: Sandbox, airflow_db: None) -> None:
    made: list[tuple[Any, str, str]] = [
        (AutoenhanceDownloadImageOperator, "image_id", "destination is empty; check"),
        (AutoenhanceDownloadOrderOperator, "order_id", "destination is empty; check"),
        (AutoenhanceEnhanceOperator, "source", "destination is empty; check"),
    ]
    with DAG("nightly", schedule=None):
        for operator, name, told in made:
            about = {"source": SOURCE, "durable": False} if name == "source" else {name: "some"}
            mapped = operator.partial(task_id=name, **about).expand(destination=[None, "s3://enhanced/a/"])
            with pytest.raises(AirflowFailException, match=told):
                rendered(mapped.unmap({"destination": None}))
        listed = AutoenhanceEnhanceOperator.partial(task_id="paths", source=SOURCE, destination="s3://enhanced/")
        with pytest.raises(AirflowFailException, match="paths is an empty list"):
            rendered(listed.expand(paths=[None, ["000.jpg"]]).unmap({"paths": None}))
    assert autoenhance.ledger()["requests"] == {}


def test_several_mapped_batches_do_not_share_one_file() -> None:
    one = "s3://enhanced/{{ ds }}/kitchen.jpg"
    for given in ({"destination": one}, {"output_spec": one}, {"output_spec": {"destination": one}}):
        with pytest.raises(errors.SettingsError, match="all mapped tasks would write to 'kitchen.jpg'"):
            AutoenhanceEnhanceOperator.partial(task_id="mapped", durable=False, **given)
    with DAG("nightly", schedule=None):
        apart = AutoenhanceEnhanceOperator.partial(task_id="mapped", destination="s3://enhanced/{{ ti.map_index }}.jpg")
        apart.expand(source=["s3://listings/a.jpg"])


def test_where_a_function_says_counts_instead_of_what_the_decorator_says(s3: SimpleNamespace, airflow_db: None) -> None:
    fill(s3, 1)
    photo_uri, here, there = f"{SOURCE}000.jpg", "s3://enhanced/here/", "s3://enhanced/there/"

    def landed(number: int, asked: dict[str, Any], **given: Any) -> str:
        def tonight() -> dict[str, Any]:
            return {"source": photo_uri, **asked}

        with DAG("nightly", schedule=None):
            it = autoenhance_task(preview=False, poll_interval=0.1, **given)(tonight)().operator
        return str(rendered(it, f"night-{number}")["manifest"]).removesuffix("autoenhance-manifest.jsonl")

    for number, (asked, given, place) in enumerate([
        ({"destination": there}, {"output_spec": {"destination": here}}, there),
        ({"output_spec": {"destination": there}}, {"output_spec": [{"destination": here}, {"destination": here, "format": "png"}]}, there),
        ({"output_spec": {"destination": there}}, {"destination": here}, there),
        ({"output_spec": "png"}, {"output_spec": {"destination": here}}, here),
        ({}, {"output_spec": {"destination": f"{here}{{{{ ds }}}}/kitchen.jpg"}}, f"{here}2026-02-01/"),
        ({}, {"destination": f"{there}kitchen.jpg"}, there),
    ]):  # fmt: skip
        assert landed(number, asked, **given) == place
    assert {"here/2026-02-01/kitchen.jpg", "there/kitchen.jpg"} <= set(outputs(s3))
    with pytest.raises(AirflowFailException, match="same destination: 's3://enhanced/here', 's3://enhanced/there'"):
        landed(9, {"destination": there, "output_spec": here}, output_spec=here)


def test_a_function_returns_an_object_as_the_source_but_no_template(
    s3: SimpleNamespace, autoenhance: Sandbox, airflow_db: None
) -> None:
    s3.put("maple/deep/a.jpg", photo())

    def photos(**asked: Any) -> int:
        def tonight() -> dict[str, Any]:
            return {"destination": "s3://enhanced/", **asked}

        with DAG("nightly", schedule=None):
            return int(rendered(autoenhance_task(plan_only=True)(tonight)().operator)["photos"])

    for deep in (False, True):
        for source in ({"source": SOURCE, "recursive": deep}, json.dumps({"source": SOURCE, "recursive": deep})):
            assert photos(source=source) == int(deep)
    for asked, told in [
        ({"source": {"source": SOURCE, "deep": True}}, "'source' and 'recursive'"),
        ({"source": SOURCE, "destination": "s3://enhanced/{{ ds }}/"}, "a template as destination, which nobody renders"),
        ({"source": SOURCE, "output_spec": ["{{ params.output }}"]}, "a template as output_spec, which nobody renders"),
    ]:  # fmt: skip
        with pytest.raises(AirflowFailException, match=told):
            photos(**asked)
    assert autoenhance.ledger()["requests"] == {}


def test_an_output_spec_refuses_a_template_which_nobody_would_render() -> None:
    for name in ("destination", "name_template", "color_profile"):
        with pytest.raises(errors.SettingsError, match=f"output {name} is a template"):
            OutputSpec(**{name: "s3://enhanced/{{ ds }}/"})


def test_errors_about_an_output_hold_nothing_secret() -> None:
    address = "https://host.example/a.jpg?X-Amz-Signature=5ec2e7"
    for output in (
        {"destination": [address]}, f"[{address}", [[address]], {"format": address}, {"color_profile": address},
        {"color_profile": address, "color_space": "RGB", "format": "jxl"},
    ):  # fmt: skip
        with pytest.raises(errors.SettingsError) as told:
            batch(output_spec=output, destination="s3://enhanced/")
        assert "5ec2e7" not in str(told.value)


def test_a_text_of_a_form_may_have_blanks_around_it(s3: SimpleNamespace) -> None:
    fill(s3, 1)
    it = batch(source="{{ params.source }}", output_spec="{{ params.output }}")
    assert rendered(it, source=f"{SOURCE}000.jpg", output=f" {FILE}\n")["landed"] == 1
    assert outputs(s3) == ["shop/12-maple/kitchen.jpg"]


def test_a_file_is_told_from_a_folder_when_the_source_is_known(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 1)
    about = {"source": "{{ params.source }}", "destination": FILE}
    with pytest.raises(AirflowFailException, match="named like one image"):
        rendered(batch(**about), source=SOURCE)
    assert autoenhance.ledger()["requests"] == {}
    assert rendered(batch(**about), source=f"{SOURCE}000.jpg")["landed"] == 1
    about = {"source": f"{SOURCE}000.jpg", "destination": FILE, "output_spec": "{{ params.output }}"}
    assert rendered(batch(**about), "night-2", output=None)["skipped"] == 1
    assert outputs(s3) == ["shop/12-maple/kitchen.jpg"]


def test_a_task_has_its_name_before_its_output_is_rendered() -> None:
    for number, output in enumerate(("{{ params.output }}", "{{ 'png' }}", FILE)):
        it = batch(task_id=f"enhance_{number}", source={"source": f"{SOURCE}a.jpg"}, output_spec=output)
        assert it.listing == "a.jpg"


def test_a_partial_task_gets_its_destination_later(airflow_db: None) -> None:
    with DAG("nightly", schedule=None):
        for number, (given, later) in enumerate(
            [({"durable": False}, "destination"), ({"durable": True, "destination": None}, "output_spec")]
        ):
            about = {"task_id": f"mapped_{number}", "source": SOURCE} | given
            AutoenhanceEnhanceOperator.partial(**about).expand(**{later: ["s3://enhanced/a/", "s3://enhanced/b/"]})
        with pytest.raises(errors.SettingsError, match="all mapped tasks would write to 'kitchen.jpg'"):
            AutoenhanceEnhanceOperator.partial(task_id="one", destination=FILE, output_spec="{{ params.output }}")
        about = {"task_id": "downloads", "output_spec": "{{ 'png' }}", "destination": None}
        AutoenhanceDownloadImageOperator.partial(**about).expand(image_id=["a", "b"])


def test_the_file_of_another_photo_is_not_written_over(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    first, second = (batch(source=f"{SOURCE}{number:03}.jpg", output_spec=FILE) for number in range(2))
    run(first)
    with pytest.raises(AirflowFailException, match="kitchen.jpg"):
        run(second, run_id="night-2")
    assert autoenhance.ledger()["images_created"] == 1
    assert run(first, run_id="night-3")["skipped"] == 1


def test_originals_are_safe_from_an_output_too(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 1)
    for output in (f"{SOURCE}000.jpg", SOURCE):
        with pytest.raises(AirflowFailException):
            run(batch(source=f"{SOURCE}000.jpg", output_spec=output))
    assert autoenhance.ledger()["images_created"] == 0


class TestWithoutDestination:
    """The connection's ``temporary_folder``."""

    TEMPORARY = "s3://aws_default@enhanced/day/"

    @pytest.fixture(autouse=True)
    def connected(self, autoenhance: Sandbox, storages: None, monkeypatch: pytest.MonkeyPatch) -> None:
        connect(autoenhance, monkeypatch, temporary_folder=self.TEMPORARY)

    def rules(self, s3: SimpleNamespace) -> list[Any]:
        found = s3.client.get_bucket_lifecycle_configuration(Bucket="enhanced")["Rules"]
        return [(each["Filter"]["Prefix"], each["Expiration"]["Days"], each["Status"]) for each in found]

    def test_results_live_for_a_day_and_have_an_address(self, s3: SimpleNamespace, other_store: Any) -> None:
        fill(s3, 1)
        summary = run(batch(destination="s3://enhanced/kept/"))
        (order_id,) = summary["order_ids"]
        (image,) = AutoenhanceHook().get_order(order_id).images
        about = {"task_id": "download", "image_id": image.image_id, "preview": False}
        landed, again = (run(AutoenhanceDownloadImageOperator(**about, output_spec="webp")) for _ in range(2))
        assert landed["uri"].startswith("s3://enhanced/day/nightly/download/")
        assert again["uri"] == landed["uri"], "a retry goes to the same place"
        assert run(AutoenhanceDownloadImageOperator(**about), run_id="other")["uri"] != landed["uri"]
        of_order = run(AutoenhanceDownloadOrderOperator(task_id="order", order_id=order_id))
        assert of_order["destination"].startswith("s3://enhanced/day/nightly/order/")
        assert self.rules(s3) == [("day/", 1, "Enabled")]
        for uri, seconds in ((landed["uri"], 60), (ObjectStoragePath(landed["uri"]), "0:01:00")):
            address = AutoenhanceHook().temporary_url(uri, seconds=seconds)
            assert len(requests.get(address, timeout=10).content) == landed["size"]
        for uri, seconds, told in [
            ("s3://enhanced/kept/000.jpg", 60, "does not lie in"), ("s3://enhanced/day", 60, "does not lie in"),
            ("s3://other@enhanced/day/a.jpg", 60, "does not lie in"), (None, 60, "uri is empty"),
            *((landed["uri"], wrong, "seconds takes") for wrong in (90_000, 0, 0.5, -1, "1_0", "soon", None, True, float("nan"))),
        ]:  # fmt: skip
            with pytest.raises(errors.SettingsError, match=told):
                AutoenhanceHook().temporary_url(uri, seconds=seconds)

    def test_a_batch_goes_there_where_it_has_to_remember_nothing(
        self, s3: SimpleNamespace, autoenhance: Sandbox
    ) -> None:
        fill(s3, 2)
        for try_number in (1, 2):
            it = batch(durable=False)
            summary = it.execute(context(it, try_number=try_number))
            assert summary["manifest"].startswith("s3://enhanced/day/nightly/enhance/")
        assert len(outputs(s3)) == 2
        assert autoenhance.ledger()["images_created"] == 2

    def test_a_batch_that_has_to_remember_is_refused_there(self, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
        fill(s3, 1)
        s3.put("day/a.jpg", photo())
        for given in (
            {"destination": "s3://enhanced/day"}, {"destination": "s3a://aws_default@enhanced/day/elm/"},
            {"source": "s3://listings/", "destination": "s3://enhanced/"},
            {"destination": "s3://enhanced/", "destination_template": "day/{name}"},
        ):  # fmt: skip
            with pytest.raises(AirflowFailException, match="would buy the photos again"):
                run(batch(**given))
        assert autoenhance.ledger()["images_created"] == 0
        assert run(batch(destination="s3://enhanced/days/"))["landed"] == 1
        assert run(batch(destination="s3://enhanced/day/elm/", durable=False))["landed"] == 1

    def test_rules_and_files_of_others_are_left_alone(self, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
        it = AutoenhanceDownloadImageOperator(task_id="download", image_id="some")
        s3.client.put_object(Bucket="enhanced", Key="day/old.jpg", Body=b"1")
        with pytest.raises(AirflowFailException, match="files lie there already"):
            run(it)
        others = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}}
        for rule in (others, {**others, "Filter": {"Prefix": "day/"}, "Status": "Disabled"}):
            s3.client.put_bucket_lifecycle_configuration(Bucket="enhanced", LifecycleConfiguration={"Rules": [rule]})
            with pytest.raises(AirflowFailException, match="prefix 'day/' that expires objects after 1 day"):
                run(it)
        assert autoenhance.ledger()["requests"] == {}
        for days, told in ((365, "keeps it for 365 days"), (1, "some")):
            rules = [others, {**others, "ID": "all", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}}]
            s3.client.put_bucket_lifecycle_configuration(Bucket="enhanced", LifecycleConfiguration={"Rules": rules})
            with pytest.raises(AirflowFailException, match=told):  # some: which Autoenhance does not know
                run(it)

    def test_the_marker_that_a_console_makes_of_a_folder_is_not_a_file(self, s3: SimpleNamespace) -> None:
        s3.client.put_object(Bucket="enhanced", Key="day/", Body=b"")
        with pytest.raises(AirflowFailException, match="some"):  # which Autoenhance does not know
            run(AutoenhanceDownloadImageOperator(task_id="download", image_id="some"))
        assert self.rules(s3) == [("day/", 1, "Enabled")]

    def test_a_destination_that_renders_to_nothing_is_not_left_out(self, s3: SimpleNamespace) -> None:
        for native in (False, True):
            with DAG("nightly", schedule=None, render_template_as_native_obj=native):
                it = AutoenhanceDownloadImageOperator(
                    task_id=f"download_{native}", image_id="some", destination="{{ params.place }}"
                )
            with pytest.raises(AirflowFailException, match="destination is empty; check the template"):
                rendered(it, place=None)
            for place in (None, ""):
                with DAG("nightly", schedule=None, render_template_as_native_obj=native):
                    it = AutoenhanceDownloadImageOperator(
                        task_id=f"output_{native}", image_id="some", output_spec=[{"destination": "{{ params.place }}"}]
                    )
                with pytest.raises(AirflowFailException, match="destination is empty; check the template"):
                    rendered(it, place=place)


def test_without_a_temporary_folder_the_error_says_what_to_do(autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="or name a 'temporary_folder' in the connection's extra"):
        run(AutoenhanceDownloadImageOperator(task_id="download", image_id="some"))
    with pytest.raises(AirflowFailException, match="temporary_folder"):
        run(batch(durable=False))
    assert autoenhance.ledger()["requests"] == {}
