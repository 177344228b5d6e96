// The page over recent runs.
import { BASE, element, frame, pageOf, words } from "./gallery.js";

const AGAIN_AFTER = 5_000; // milliseconds until the list is looked at again

async function show(place) {
  const { root, unmount } = frame(place);
  const found = element("div");
  root.append(element("div", { className: "recent" }, element("h1", {}, "Photos of recent runs"), found));
  await look(found);
  return unmount;
}

async function look(found, shown = "") {
  let answered = shown;
  try {
    if (!document.hidden) {
      const answer = await fetch(new URL("recent", BASE));
      if (!answer.ok) throw new Error(String(answer.status));
      answered = await answer.text();
    }
  } catch {
    found.replaceChildren(quiet("Airflow does not answer. Load the page again."));
    return;
  }
  if (answered !== shown) {
    const { runs } = JSON.parse(answered);
    found.replaceChildren(runs.length ? table(runs) : quiet("Not one run has left photos yet. Trigger a DAG that enhances some: this page looks again every few seconds."));
  }
  if (found.isConnected) setTimeout(look, AGAIN_AFTER, found, answered);
}

function quiet(text) {
  return element("p", { className: "quiet", role: "status" }, text);
}

function table(runs) {
  const names = ["DAG", "Run", "Ended", "Photos", "Landed", "Failed", "Credits"];
  const head = element("tr", {}, ...names.map((name, place) => element("th", { scope: "col", className: place > 2 ? "number" : "" }, name)));
  const rows = runs.map((run) =>
    element(
      "tr",
      {},
      element("td", {}, run.dag_id),
      element("td", {}, element("a", { href: pageOf({ dagId: run.dag_id, runId: run.run_id }) }, run.run_id)),
      element("td", {}, words.time(run.at)),
      ...["photos", "landed", "failed", "credits"].map((name) =>
        element("td", { className: name === "failed" && run.failed ? "number bad" : "number" }, String(run[name])),
      ),
    ),
  );
  return element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Recent runs" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

await show(document.getElementById("autoenhance-photos"));
