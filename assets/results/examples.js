// Pictures to try that are there already: a few of the run's validation images, so that the box is never all there is.

import { h } from "../base/dom.js";
import { addressOf, ask } from "../base/poller.js";
import { WORDS } from "../words/results.js";

const SHOWN = 8;
const EVALUATION = "val-best";

export function mountExamples(element, props, trigger) {
  const root = element.querySelector(".ft-examples");
  const list = h("ul");
  root.append(h("h2", {}, WORDS.examples), list);
  element.hidden = true;
  let shown = "";
  const draw = async (run) => {
    if (run === shown) return;
    shown = run;
    element.hidden = true;
    const results = `api/runs/${encodeURIComponent(run)}/results`;
    const made = await ask(addressOf(results)).catch(() => null); // a run without results has no pictures to offer
    if (!made?.evaluations.some((one) => one.name === EVALUATION)) return;
    const base = `${results}/${EVALUATION}`;
    const about = await ask(addressOf(`${base}/pictures?of=worst&limit=1`)).catch(() => null); // for their number
    if (!about?.total || run !== shown) return;
    const step = Math.max(1, Math.floor(about.total / SHOWN));
    const indices = Array.from({ length: Math.min(SHOWN, about.total) }, (_, i) => i * step);
    const { pictures } = await ask(
      addressOf(`${base}/pictures?of=these&${indices.map((index) => `indices=${index}`).join("&")}`),
    );
    if (run !== shown) return;
    list.replaceChildren(
      ...pictures.map((row) => {
        const image = h("img", { src: String(addressOf(`${base}/picture/${row.index}?side=small`)), alt: "" });
        const press = () => {
          props.value = `${row.index}`;
          trigger("input");
        };
        return h(
          "li",
          {},
          h("button", { type: "button", "aria-label": row.place, title: row.place, on: { click: press } }, image),
        );
      }),
    );
    element.hidden = false;
  };
  document.addEventListener("ft-try-run", ({ detail }) => detail && draw(detail));
}
