// The planned rates as a chart: every group, warm-up, unfreezing and epochs, the lowest course where a metric decides.
// While a field of the schedule changes they are asked for alone, with the last plan's numbers, ahead of the plan.

import { epochEnds } from "../base/ticks.js";
import { WORDS } from "../words/rates.js";

const LISTS = new Set(["schedule.milestones", "schedule.changes"]);
const QUICK = /^(schedule\.|optim\.lr=|train\.epochs=|model\.head_epochs=)/;

/** What preview.js draws for the `schedule` of a plan. */
export function rateSpec({ steps, groups, lowest, warmup_end: warmup, unfreeze, steps_per_epoch: perEpoch }, title) {
  const marks = [
    warmup ? { place: warmup, label: WORDS.warmup } : null,
    unfreeze ? { place: unfreeze, label: WORDS.unfreeze } : null,
  ];
  return {
    title,
    kind: "rate",
    axis: "step",
    unit: "step",
    height: 170,
    bounds: [0, null],
    epochs: epochEnds(perEpoch, steps.at(-1) ?? 0, perEpoch),
    marks: marks.filter((mark) => mark !== null),
    note: lowest ? WORDS.plateau : "",
    lines: Object.entries(groups).map(([label, y]) => ({
      label,
      x: steps,
      y,
      ...(lowest ? { lo: lowest[label], hi: y, fill: 0.12 } : {}),
    })),
  };
}

/** Whether only what the rates depend on differs between two command lines, so that the rest of a plan holds. */
function differOnlyInRates(before, after) {
  const rest = (argv) => JSON.stringify(argv.filter((item) => !QUICK.test(item)));
  return rest(before) === rest(after);
}

/** Asks for the rates alone. `show(schedule)` and `tell(errors)` hear of the newest answer only. */
export class QuickRates {
  constructor({ asker, show, tell }) {
    this.asker = asker;
    this.show = show;
    this.tell = tell;
    this.plan = null;
    this.argv = null;
  }

  /** The plan of these arguments: what later questions start from. */
  learn(argv, plan) {
    this.argv = argv;
    this.plan = plan;
    this.asker.number += 1; // an answer under way is older than the plan
  }

  /** Before the form has read what is typed: the drawing follows each key. What is wrong waits for the form's words. */
  typed(argv, { path, text }) {
    const item = `${path}=`;
    if (!argv || !QUICK.test(item) || !text) return;
    const value = LISTS.has(path) ? `[${text.replace(/[[\]()]/g, "")}]` : text;
    this.ask([...argv.filter((word) => !word.startsWith(item)), item + value], () => {});
  }

  /** With what the plan chose for settings left empty. */
  filled(argv) {
    const left = (this.plan.chosen ?? []).filter(({ path }) => !argv.some((item) => item.startsWith(`${path}=`)));
    return [...argv, ...left.map(({ path, value }) => `${path}=${value}`)];
  }

  async ask(argv, tell = this.tell) {
    const lrs = this.plan?.schedule?.group_lrs;
    if (!lrs || !differOnlyInRates(this.argv, argv)) return;
    const answer = await this.asker.ask({
      argv: this.filled(argv),
      steps_per_epoch: this.plan.steps_per_epoch,
      group_lrs: lrs,
    });
    if (!answer) return;
    if (answer.value) this.show(answer.value);
    else if (Object.keys(answer.errors).some((path) => path)) tell(answer.errors);
  }
}
