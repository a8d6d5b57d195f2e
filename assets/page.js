// What the page's gr.HTML parts mount.

export { mountBrand } from "./brand.js";
export { mountLaunch, mountState } from "./form.js";
export { mountPicker } from "./picker.js";
export { mountPlan } from "./plan.js";
export { mountRuns } from "./runs.js";
export { mountAnswer } from "./answer.js";
