// What the page's gr.HTML parts mount. The live panel mounts itself; its module is here for window.FTLive.

import "./live/live.js";

export { mountLossCurve } from "./loss/loss.js";
export { mountLossCheck, mountLossTop } from "./loss/loss_code.js";
export { mountBrand } from "./page/brand.js";
export { mountViews } from "./page/views.js";
export { mountAnswer, mountRunChoice } from "./results/answer.js";
export { mountExamples } from "./results/examples.js";
export { mountResults } from "./results/results.js";
export { mountRuns } from "./runs/runs.js";
export { mountCheck } from "./setup/data_check.js";
export { mountData } from "./setup/data_part.js";
export { mountFinder } from "./setup/finder.js";
export { mountLaunch, mountState } from "./setup/form.js";
export { mountBatch, mountPrecisions } from "./setup/measure.js";
export { mountPicker } from "./setup/picker.js";
export { mountPlan } from "./setup/plan.js";
export { mountShare } from "./share/share.js";
export { mountViewer, mountViewerRuns, mountViewerTry } from "./share/viewer.js";
