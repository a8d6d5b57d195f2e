// Words of the Share tab and of the viewer's page.

import { count, duration } from "../base/format.js";

export const SHARE = {
  title: "Share",
  intro:
    "A link lets others watch your runs and try your models. They see only what you publish below, and can change nothing.",
  introShared: "Whoever has the viewer link sees what you publish below, and can change nothing.",
  introNoViewer: "There is no viewer link. Make one to let others watch what you publish below.",
  start: "Start sharing",
  makeViewer: "Make a viewer link",
  startHint: "Makes a viewer link and asks for a public address",
  stop: "Stop sharing",
  stopHint: "Revokes the viewer link and closes the public address",
  expiry: "Valid for",
  untilRevoked: "Valid until you revoke it.",
  roles: { viewer: "Viewer link", owner: "Owner link" },
  rolesHelp: {
    viewer: "Watch what you publish, try published models.",
    owner: "Everything you can do. Keep it to yourself.",
  },
  copy: "Copy",
  copied: "Copied",
  copyThis: "Copy this link:",
  copyRun: "Copy link",
  renew: "New link",
  renewHint: "The old link ends, and with it whoever came in by it",
  revoke: "Revoke",
  revokeHint: "The link ends, and with it whoever came in by it",
  opening: "Asking for a public address\u2026",
  open: "Public address: ",
  otherWays: "Other ways to lead people here",
  ssh: "Through a server of yours, with ssh; people then open port 8080 there, with the rest of the link as above:",
  proxyNote: "Started so, the app asks for a login here too.",
  again: "Try again",
  public: "Ask for a public address",
  publicHint: "Through Gradio's tunnel; works for up to a week",
  published: "Published runs",
  publishedHelp:
    "Viewers see title, curves and progress of a published run, never its files, settings, messages or paths.",
  run: "Run",
  show: "Show",
  link: "Link",
  onlyHere: "This address works on this computer only, so there is no code for a phone to read.",
  model: "Let viewers try its model",
  noRuns: "No runs yet. Train one, then publish it here.",
  noAnswer: "The app did not answer. Is it still running?",
};

export const VIEWER = {
  nothing: "Nothing is shown right now",
  nothingText: "The owner has published no run. This page looks again by itself.",
  runs: "Runs",
  tryTitle: "Try it on your own picture",
  tryHelp: "The picture goes to the machine that trained the model, is looked at once, and is not kept.",
  choose: "Choose a picture",
  looking: "Looking at the picture\u2026",
  noAnswer: "No answer came. Check the connection and try again.",
  yourPicture: "Your picture",
};

export const shareSay = {
  /** @param {number | null} seconds */
  expiry: (seconds) =>
    seconds === null
      ? "as long as I want"
      : ({ 3600: "1 hour", 86400: "1 day", 604800: "1 week", 2592000: "30 days" }[seconds] ?? duration(seconds)),
  /** @param {string} left */
  expires: (left) => `Ends in ${left}.`,
  /** @param {string} name */
  qr: (name) => `${name} as a QR code`,
  /** @param {number} port */
  proxy: (port) =>
    `Behind a reverse proxy that leads to port ${port} of this machine; start the app with the path it has there:`,
  /** @param {{ minutes: string, title?: string }[]} people */
  watching: (people) => {
    if (!people.length) return "Nobody is watching.";
    const each = people
      .slice(0, 8)
      .map(({ minutes, title }) => `for ${minutes}${title ? ` (${title})` : ""}`)
      .join(", ");
    return `${count(people.length)} ${people.length === 1 ? "person is" : "people are"} watching: ${each}${people.length > 8 ? " and more" : ""}.`;
  },
};
