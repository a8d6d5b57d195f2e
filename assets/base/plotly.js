// The chart library, loaded once and kept under a name of our own: another component may replace window.Plotly.

const address = new URL("../plotly.min.js", import.meta.url); // beside page.js, with their version in its address
/** @type {Promise<Plotly> | null} */
let loading = null;

/** Plotly, fetched at the first call; a failure is forgotten, so that it can be tried again. */
export function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const inHead = [...document.scripts].find((script) => script.src === address.href);
    const script = inHead ?? document.createElement("script");
    const done = () => {
      window.FTPlotly = window.Plotly;
      resolve(/** @type {Plotly} */ (window.FTPlotly));
    };
    if (inHead && window.Plotly) done();
    script.addEventListener("load", done);
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new Error(`cannot load ${address}`));
    });
    if (inHead) return;
    script.src = address.href;
    document.head.append(script);
  });
  return loading;
}
