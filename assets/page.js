// What the page's gr.HTML parts mount. The live panel mounts itself; its module is here for window.FTLive.

import "./live.js";

export { mountAnswer, mountRunChoice } from "./answer.js";
export { mountBrand } from "./brand.js";
export { mountCheck } from "./data_check.js";
export { mountData } from "./data_part.js";
export { mountFinder } from "./finder.js";
export { mountLaunch, mountState } from "./form.js";
export { mountBatch, mountPrecisions } from "./measure.js";
export { mountPicker } from "./picker.js";
export { mountPlan } from "./plan.js";
export { mountRuns } from "./runs.js";
export { mountViews } from "./views.js";
export { mountLossCurve } from "./loss.js";
export { mountLossCheck, mountLossTop } from "./loss_code.js";
export { mountShare } from "./share.js";
export { mountViewer, mountViewerRuns, mountViewerTry } from "./viewer.js";
