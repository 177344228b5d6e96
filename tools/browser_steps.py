"""The steps of ``make browser``, taken by playwright in an environment of its own. Each is a function; its name says what must hold."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Page, Response, expect, sync_playwright

ORDERS = json.loads(os.environ["BROWSER_ORDERS"])
ADDRESS, SHOTS = ORDERS["address"], Path(ORDERS["folder"])
SAMPLES = f"{ADDRESS}/autoenhance/gallery/task/gallery_samples/enhance/-1/{quote('samples+1', safe='')}"
SECONDS = 1000.0

_FOUR_PICTURES = """() => [...document.querySelector('#autoenhance-photos').shadowRoot.querySelectorAll('img')]
  .filter(each => each.complete && each.naturalWidth).length >= 4"""

#: Frame times while the list is scrolled through in 120 steps, in milliseconds.
_SCROLL = """async () => {
  const times = [];
  let last = performance.now();
  const end = document.documentElement.scrollHeight - innerHeight;
  for (let step = 1; step <= 120; step++) {
    window.scrollTo(0, end * step / 120);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  times.sort((one, other) => one - other);
  return {p50: times[60], p95: times[114], worst: times[119]};
}"""


def log_in(page: Page) -> None:
    page.goto(ADDRESS)
    page.locator("input[name=username]").fill(ORDERS["user"])
    page.locator("input[name=password]").fill(ORDERS["password"])
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "login" not in url, timeout=180 * SECONDS)


def nightly_is_triggered_from_its_form(page: Page) -> None:
    page.goto(f"{ADDRESS}/dags/autoenhance_nightly")
    page.get_by_role("button", name="Trigger").first.click(timeout=180 * SECONDS)
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    shot(page, "trigger")
    dialog.get_by_role("button", name="Trigger").click()
    dialog.wait_for(state="hidden")


def nightly_finishes(page: Page) -> None:
    until(lambda: state_of(page, "autoenhance_nightly") in ("success", "failed"), 300)
    assert state_of(page, "autoenhance_nightly") == "success"


def the_tab_of_the_run_shows_its_photos(page: Page) -> None:
    page.goto(f"{ADDRESS}/dags/autoenhance_nightly/runs/{quote(run_of(page, 'autoenhance_nightly'), safe='')}")
    page.get_by_role("link", name="Photos").first.click(timeout=180 * SECONDS)
    expect(cards(page).first).to_be_visible(timeout=180 * SECONDS)
    expect(page.locator(".notices")).not_to_contain_text("damaged")
    shot(page, "run-tab")


def the_tab_of_a_task_shows_its_photos(page: Page) -> None:
    run = quote(run_of(page, "autoenhance_nightly"), safe="")
    page.goto(f"{ADDRESS}/dags/autoenhance_nightly/runs/{run}/tasks/enhance/mapped/0")
    page.get_by_role("link", name="Photos").first.click(timeout=180 * SECONDS)
    expect(cards(page).first).to_be_visible(timeout=180 * SECONDS)
    shot(page, "task-tab")


def the_link_of_a_task_leads_to_its_page(page: Page) -> None:
    until(lambda: state_of(page, "gallery_samples") in ("success", "failed"), 300)
    page.goto(f"{ADDRESS}/dags/gallery_samples/runs/{quote('samples+1', safe='')}/tasks/enhance/details")
    link = page.locator("a[href^='autoenhance/gallery/task/']")
    assert link.inner_text(timeout=180 * SECONDS) == "Photos"
    page.goto(link.evaluate("link => link.href"))
    expect(cards(page).first).to_be_visible()


def a_dag_of_others_says_so_in_one_line(page: Page) -> None:
    run = quote(run_of(page, "autoenhance_nightly"), safe="")
    page.goto(f"{ADDRESS}/dags/autoenhance_nightly/runs/{run}/tasks/report/plugin/autoenhance_task_photos")
    expect(page.locator(".notices")).to_have_text("No Autoenhance photos in this task.", timeout=180 * SECONDS)


def the_first_screen_shows_no_error(page: Page) -> None:
    page.goto(ADDRESS)
    page.get_by_text("Pool Slots").wait_for()
    shot(page, "first-screen")
    for what in ("plugins/importErrors", "importErrors"):
        assert api(page, what)["import_errors"] == []


def the_menu_leads_to_recent_runs(page: Page) -> None:
    page.goto(ADDRESS)
    page.get_by_text("Browse").first.click()
    page.get_by_text("Photos", exact=True).first.click()
    expect(page.frame_locator("iframe").locator("tbody tr")).to_have_count(1 if ORDERS["briefly"] else 3)
    shot(page, "recent")
    page.frame_locator("iframe").get_by_role("link").last.click()
    expect(page.frame_locator("iframe").locator(".card").first).to_be_visible()


def pictures_come_soon(page: Page) -> None:
    began = time.monotonic()
    page.goto(SAMPLES)
    page.wait_for_function(_FOUR_PICTURES)
    print(f"first pictures after {time.monotonic() - began:.2f} s")
    shot(page, "light")


def it_scrolls(page: Page) -> None:
    page.goto(SAMPLES)
    expect(cards(page).first).to_be_visible()
    memory = [megabytes_of(page)]
    for _ in range(3):
        frames = page.evaluate(_SCROLL)
        print(
            f"frames while scrolling: p50 {frames['p50']:.0f} ms, p95 {frames['p95']:.0f} ms, worst {frames['worst']:.0f} ms"
        )
        page.wait_for_timeout(500)
        memory.append(megabytes_of(page))
    print(f"memory of the tab: {', '.join(f'{each:.0f}' for each in memory)} MB, before and after each time")
    assert cards(page).count() < 150
    shot(page, "end")


def it_filters_sorts_and_groups(page: Page) -> None:
    page.goto(SAMPLES)
    page.locator(".chip.failed").click()
    expect(page.locator(".count")).to_contain_text(" of ")
    expect(page.locator(".state.failed").first).to_be_visible()
    page.locator(".chip").first.click()
    page.get_by_label("Search").fill("hostile & odd")
    expect(cards(page)).to_have_count(1)
    expect(page.locator(".name")).to_have_text("<b>hostile & odd</b>.jpg")
    page.get_by_label("Search").fill("nothing like that")
    expect(page.locator(".count")).to_contain_text("Clear the search")
    page.get_by_label("Search").fill("")
    page.get_by_label("Group by listing").check()
    expect(page.locator("h3").first).to_have_text("listing-0")
    page.get_by_label("Sort").select_option("credits")
    shot(page, "grouped")


def the_divider_moves(page: Page) -> None:
    page.goto(SAMPLES)
    cards(page).nth(1).locator(".open").click()
    divider = page.get_by_role("slider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    box = page.locator(".compare").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "25")
    divider.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "27")
    shot(page, "viewer")
    page.get_by_role("button", name="Full size").first.click()
    page.wait_for_function(
        "() => document.querySelector('#autoenhance-photos').shadowRoot.querySelector('img.full')?.naturalWidth > 1000"
    )
    pane = page.get_by_role("region", name="Full size")
    expect(pane.get_by_role("status")).to_have_count(0)
    assert pane.evaluate("pane => pane.scrollLeft > 0 && pane.scrollTop > 0"), "its middle is shown, not a corner"
    shot(page, "full-size")
    pane.locator("img").click(position={"x": 1500, "y": 1000})
    assert pane.evaluate("pane => pane.scrollWidth <= pane.clientWidth"), "a click fits it in"
    pane.locator("img").click(position={"x": 20, "y": 20})
    assert pane.evaluate("pane => pane.scrollLeft + pane.scrollTop") == 0, "another shows what was clicked at"


def a_link_opens_its_photo(page: Page) -> None:
    page.goto(SAMPLES)
    cards(page).nth(1).locator(".open").click()
    title = page.locator("dialog h2").inner_text()
    link = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("dialog h2")).to_have_text(title)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.wait_for_function("() => !location.hash")  # page.url is as new as the last thing that was asked of the page


def keys_alone_do(page: Page) -> None:
    page.goto(SAMPLES)
    expect(cards(page).first).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if (
            page.evaluate("() => document.querySelector('#autoenhance-photos').shadowRoot.activeElement?.className")
            == "open"
        ):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.locator(".bar b")).to_have_text("1 selected")
    page.keyboard.press("Enter")
    expect(page.get_by_role("slider")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "100")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator(".bar")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()


def it_is_readable_in_the_dark_and_on_a_phone(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(SAMPLES)
    expect(cards(page).first).to_be_visible()
    page.wait_for_timeout(500)
    shot(page, "dark")
    without_barriers(page)
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(500)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    shot(page, "phone")
    cards(page).nth(2).locator(".open").click()
    page.wait_for_timeout(300)
    shot(page, "phone-viewer")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")


def nothing_bars_the_way(page: Page) -> None:
    page.goto(SAMPLES)
    expect(cards(page).first).to_be_visible()
    without_barriers(page)
    cards(page).nth(1).locator(".open").click()
    page.wait_for_timeout(300)
    without_barriers(page)
    page.goto(f"{ADDRESS}/autoenhance/gallery/")
    page.locator("table").wait_for()
    without_barriers(page)


def without_barriers(page: Page) -> None:
    found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert not found, json.dumps(
        [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found], indent=1
    )


def megabytes_of(page: Page) -> float:
    """What the processes hold that show pages; there is one tab."""
    browser = page.context.browser
    assert browser is not None
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    statuses = (Path(f"/proc/{each['id']}/status").read_text() for each in found if each["type"] == "renderer")
    return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses) / 1024


def cards(page: Page) -> Any:
    return page.locator(".card")


def api(page: Page, path: str) -> Any:
    answer = page.context.request.get(f"{ADDRESS}/api/v2/{path}")
    note_failure(answer)
    return answer.json()


def note_failure(answer: Response | APIResponse) -> None:
    """Keep that Airflow itself has failed, as when its SQLite was locked for too long: all is then done once more."""
    if answer.status >= 500 and "/autoenhance/" not in answer.url:
        Path(ORDERS["airflow_failed"]).write_text(f"Airflow answered {answer.status} to {answer.url}")


def run_of(page: Page, dag_id: str) -> str:
    return str(api(page, f"dags/{dag_id}/dagRuns?order_by=-id")["dag_runs"][0]["dag_run_id"])


def state_of(page: Page, dag_id: str) -> str:
    runs = api(page, f"dags/{dag_id}/dagRuns?order_by=-id")["dag_runs"]
    return str(runs[0]["state"]) if runs else ""


def until(ready: Callable[[], bool], seconds: float) -> None:
    for _ in range(int(seconds)):
        if ready():
            return
        time.sleep(1)
    raise AssertionError("it never came to that")


def shot(page: Page, name: str) -> None:
    page.screenshot(path=str(SHOTS / f"{name}.png"))


STEPS: tuple[Callable[[Page], None], ...] = (
    the_first_screen_shows_no_error,
    nightly_is_triggered_from_its_form,
    the_link_of_a_task_leads_to_its_page,
    pictures_come_soon,
    it_scrolls,
    it_filters_sorts_and_groups,
    the_divider_moves,
    a_link_opens_its_photo,
    keys_alone_do,
    it_is_readable_in_the_dark_and_on_a_phone,
    nothing_bars_the_way,
    nightly_finishes,
    the_tab_of_the_run_shows_its_photos,
    the_tab_of_a_task_shows_its_photos,
    a_dag_of_others_says_so_in_one_line,
    the_menu_leads_to_recent_runs,
)

#: Of the nightly DAG, which briefly is not there.
NIGHTLY = (
    nightly_is_triggered_from_its_form,
    nightly_finishes,
    the_tab_of_the_run_shows_its_photos,
    the_tab_of_a_task_shows_its_photos,
    a_dag_of_others_says_so_in_one_line,
)


def main() -> int:
    """Take the steps; each failure is told, with a picture, and the next step is taken all the same."""
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=ORDERS["chromium"], args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(180 * SECONDS)
        expect.set_options(timeout=180 * SECONDS)
        page.on("pageerror", lambda error: print(f"in the page: {error}"))
        page.on("response", note_failure)
        log_in(page)
        steps = [each for each in STEPS if not (ORDERS["briefly"] and each in NIGHTLY)]
        for take in (each for each in steps if ORDERS["only"] in each.__name__):
            began = time.monotonic()
            try:
                take(page)
                print(f"ok      {take.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:  # noqa: BLE001 - playwright's and ours; all are told
                failed += 1
                print(f"FAILED  {take.__name__}\n{traceback.format_exc()[-1500:]}", flush=True)
                shot(page, f"failed-{take.__name__}")
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
