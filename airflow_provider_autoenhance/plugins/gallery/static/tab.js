// The tab of a run and of a task in Airflow's UI, which brings React and gives the ids.
import { mount } from "./gallery.js";

function Photos(ids) {
  const place = React.useRef(null);
  React.useEffect(() => mount(place.current, ids), [ids.dagId, ids.runId, ids.taskId, ids.mapIndex]);
  return React.createElement("div", { ref: place });
}

// Airflow looks under the app's name, and then under its own.
globalThis.Photos = globalThis.AirflowPlugin = Photos;
export default Photos;
