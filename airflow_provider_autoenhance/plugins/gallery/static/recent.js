// The page over recent runs.
import { BASE, element, frame, pageOf, words } from "./gallery.js";

async function show(place) {
  const { root, unmount } = frame(place);
  const body = element("div", { className: "recent" }, element("h1", {}, "Photos of recent runs"));
  root.append(body);
  try {
    const answer = await fetch(new URL("recent", BASE));
    if (!answer.ok) throw new Error(String(answer.status));
    const { runs } = await answer.json();
    body.append(runs.length ? table(runs) : element("p", { className: "quiet" }, "Not one run has left photos yet. Trigger a DAG that enhances some, and look again."));
  } catch {
    body.append(element("p", { className: "quiet", role: "alert" }, "Airflow does not answer. Load the page again."));
  }
  return unmount;
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
