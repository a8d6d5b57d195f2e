// The Share tab: links with QR codes, where they lead, who is watching, and which runs are published.

import { focused, h, setText, svg, toggle } from "../base/dom.js";
import { ago, duration } from "../base/format.js";
import { addressOf, ask, post } from "../base/poller.js";
import { STATUS } from "../words/live.js";
import { shareSay as say, SHARE as W } from "../words/share.js";

/** @type {Role[]} */
const ROLES = ["viewer", "owner"];
const EVERY = 3000; // ms between looks while the tab is on view

/** @param {any} element */
export function mountShare(element) {
  new Share(element.querySelector(".ft-share"));
}

class Share {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.words = ""; // of the links as drawn
    this.signature = "";
    /** @type {number | null} */
    this.seconds = 604800;
    this.problem = h("p", { class: "ft-error", role: "alert", hidden: true });
    this.intro = h("p", { class: "ft-quiet" });
    this.start = h("div", { class: "ft-share-start" });
    this.links = h("div", { class: "ft-share-links" });
    this.ways = h("div", { class: "ft-share-ways", "aria-live": "polite" });
    this.watching = h("p", { class: "ft-share-watching", role: "status" });
    this.runs = h("tbody");
    this.table = h(
      "table",
      { class: "ft-share-runs" },
      h("thead", {}, h("tr", {}, ...[W.run, W.show, W.model, W.link].map((name) => h("th", { scope: "col" }, name)))),
      this.runs,
    );
    this.noRuns = h("p", { class: "ft-quiet", hidden: true }, W.noRuns);
    root.append(
      h("h2", {}, W.title),
      this.intro,
      this.problem,
      this.start,
      this.links,
      this.ways,
      this.watching,
      h("h2", {}, W.published),
      h("p", { class: "ft-quiet" }, W.publishedHelp),
      h("div", { class: "ft-share-scroll" }, this.table),
      this.noRuns,
    );
    new IntersectionObserver(([entry]) => this.watch(entry.isIntersecting)).observe(root);
    document.addEventListener("visibilitychange", () => this.isSeen && !document.hidden && this.fetch());
  }

  /** @param {boolean} isSeen */
  watch(isSeen) {
    this.isSeen = isSeen;
    clearTimeout(this.timer);
    if (isSeen) this.fetch();
  }

  async fetch() {
    clearTimeout(this.timer);
    if (!this.isSeen || document.hidden) return;
    try {
      this.take(await ask(addressOf("api/share")));
    } catch (error) {
      this.say(error);
    }
    this.timer = setTimeout(() => this.fetch(), EVERY);
  }

  /**
   * Send a wish; what comes back is what there is now.
   *
   * @param {string} path
   */
  async wish(path, body = {}) {
    this.say(null);
    try {
      const answer = await post(addressOf(`api/share/${path}`), body);
      if (answer.login) await fetch(addressOf(answer.login), { redirect: "manual" }); // the old session has ended with the old link
      if (answer.links) this.take(answer);
      else await this.fetch();
    } catch (error) {
      this.say(error);
      await this.fetch();
    }
  }

  /** @param {any} error */
  say(error) {
    toggle(this.problem, Boolean(error));
    if (error) setText(this.problem, error.code ? error.message : W.noAnswer);
  }

  /** @param {SharingState} state */
  take(state) {
    const words = JSON.stringify([state.links, state.tunnel, state.port, state.private]);
    if (words !== this.words) this.drawLinks(state); // left alone while nothing changed, so that nothing moves under the mouse
    this.words = words;
    setText(this.watching, state.port ? say.watching(state.watching.map((one) => this.who(one, state.runs))) : "");
    this.drawRuns(state);
  }

  /**
   * @param {{ seconds: number, run: string }} watcher
   * @param {{ id: string, title: string }[]} runs
   */
  who({ seconds, run }, runs) {
    const title = runs.find((other) => other.id === run)?.title;
    return { minutes: duration(seconds), title };
  }

  // ------------------------------------------------------------------ links
  /** @param {SharingState} state */
  drawLinks(state) {
    const isShared = Boolean(state.port) && Boolean(state.links.viewer);
    setText(this.intro, isShared ? W.introShared : state.private ? W.intro : W.introNoViewer);
    this.start.replaceChildren(
      ...(isShared
        ? [button(W.stop, W.stopHint, () => this.wish("stop"))]
        : [
            this.expiry(state),
            button(
              state.private ? W.start : W.makeViewer,
              W.startHint,
              () => (state.private ? this.wish("start", { seconds: this.seconds }) : this.renew("viewer")),
              true,
            ),
          ]),
    );
    const shown = ROLES.filter((role) => (role === "viewer" ? isShared : !state.private));
    this.links.replaceChildren(
      ...shown.flatMap((role) => {
        const link = state.links[role];
        return link ? [this.card(role, link, state)] : [];
      }),
    );
    this.ways.replaceChildren(...(isShared || !state.private ? this.drawWays(state) : []));
  }

  /** @param {SharingState} state */
  expiry(state) {
    const select = h(
      "select",
      {
        id: "ft-share-expiry",
        on: {
          change: () => {
            this.seconds = select.value === "null" ? null : Number(select.value);
          },
        },
      },
      ...state.expiries.map((seconds) => h("option", { value: String(seconds) }, say.expiry(seconds))),
    );
    select.value = String(this.seconds);
    return h("span", { class: "ft-share-expiry" }, h("label", { for: "ft-share-expiry" }, W.expiry), select);
  }

  /**
   * @param {Role} role
   * @param {SharedLink} link
   * @param {SharingState} state
   */
  card(role, link, state) {
    const [text] = link.texts;
    const left =
      link.expires === null ? W.untilRevoked : say.expires(duration(Math.max(0, link.expires - Date.now() / 1000)));
    return h(
      "section",
      { class: "ft-share-card", "data-role": role },
      isHere(text) ? h("p", { class: "ft-share-here" }, W.onlyHere) : qr(link.qr, say.qr(W.roles[role])),
      h(
        "div",
        { class: "ft-share-body" },
        h("h3", {}, W.roles[role]),
        h("p", { class: "ft-quiet" }, W.rolesHelp[role]),
        copyField(text, W.roles[role]),
        ...link.texts.slice(1).map((other) => h("p", { class: "ft-share-other" }, other)),
        h("p", { class: "ft-quiet" }, left),
        h(
          "div",
          { class: "ft-share-actions" },
          this.expiry(state),
          button(W.renew, W.renewHint, () => this.renew(role)),
          role === "viewer" ? button(W.revoke, W.revokeHint, () => this.wish("links/viewer/revoke")) : null,
        ),
      ),
    );
  }

  /** @param {Role} role */
  renew(role) {
    return this.wish(`links/${role}`, { seconds: this.seconds });
  }

  /** @param {SharingState} state */
  drawWays({ tunnel, port, private: isPrivate }) {
    if (tunnel.status === "opening") return [h("p", {}, W.opening)];
    if (tunnel.status === "open") return [h("p", {}, W.open, h("strong", {}, tunnel.address))];
    const ssh = `ssh -N -R 8080:127.0.0.1:${port} you@your.server`;
    return [
      tunnel.error ? h("p", { class: "ft-share-trouble" }, tunnel.error) : null,
      h(
        "details",
        { open: Boolean(tunnel.error) },
        h("summary", {}, W.otherWays),
        h("p", {}, W.ssh),
        h("pre", {}, ssh),
        h("p", {}, say.proxy(port)),
        h("pre", {}, "python app.py --root-path /tuner"),
        isPrivate ? h("p", { class: "ft-quiet" }, W.proxyNote) : null,
      ),
      button(tunnel.error ? W.again : W.public, W.publicHint, () => this.wish("tunnel")),
    ].filter(Boolean);
  }

  // ------------------------------------------------------------------ runs
  /** @param {SharingState} state */
  drawRuns({ runs, links, port }) {
    toggle(this.table, runs.length > 0);
    toggle(this.noRuns, runs.length === 0);
    const signature = JSON.stringify([runs, links.viewer?.texts, port]);
    if (signature === this.signature) return;
    this.signature = signature;
    const focus = this.runs.contains(focused()) ? focused()?.id : null;
    const text = port ? links.viewer?.texts[0] : null;
    this.runs.replaceChildren(...runs.map((run) => this.row(run, text)));
    if (focus) document.getElementById(focus)?.focus();
  }

  /**
   * @param {SharedRun} run
   * @param {string | null | undefined} text
   */
  row(run, text) {
    /**
     * @param {string} name
     * @param {string} label
     * @param {boolean} isOn
     * @param {(isOn: boolean) => object} wish
     * @param {boolean=} isOff
     */
    const box = (name, label, isOn, wish, isOff) =>
      h("input", {
        type: "checkbox",
        id: `ft-share-${name}-${run.id}`,
        "aria-label": `${label}: ${run.title}`,
        checked: isOn,
        disabled: isOff,
        on: {
          /** @param {any} event */
          /** @param {any} event */
          change: (event) => this.wish(`runs/${encodeURIComponent(run.id)}`, wish(event.target.checked)),
        },
      });
    return h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        run.title,
        h(
          "span",
          { class: "ft-quiet" },
          ` ${[STATUS[run.status] ?? run.status, run.created ? ago(Date.now() / 1000 - run.created) : ""].filter(Boolean).join(" \u00b7 ")}`,
        ),
      ),
      h(
        "td",
        {},
        box("run", W.show, run.published, (isOn) => ({ run: isOn, model: isOn && run.model })),
      ),
      h(
        "td",
        {},
        box("model", W.model, run.model, (isOn) => ({ run: true, model: isOn }), !run.has_weights),
      ),
      h("td", {}, run.published && text ? copyButton(`${text}&run=${encodeURIComponent(run.id)}`, W.copyRun) : ""),
    );
  }
}

/**
 * @param {string} label
 * @param {string} hint
 * @param {() => void} click
 */
function button(label, hint, click, isPrimary = false) {
  return h(
    "button",
    {
      type: "button",
      class: isPrimary ? "ft-share-button ft-share-primary" : "ft-share-button",
      title: hint,
      on: { click },
    },
    label,
  );
}

/**
 * @param {string} text
 * @param {string} label
 */
function copyField(text, label) {
  const field = h("input", {
    class: "ft-share-link",
    readOnly: true,
    value: text,
    "aria-label": label,
    on: { focus: () => field.select() },
  });
  return h("div", { class: "ft-share-copy" }, field, copyButton(text, W.copy));
}

/**
 * @param {string} text
 * @param {string} label
 */
function copyButton(text, label) {
  const copy = async () => {
    await navigator.clipboard?.writeText(text).then(
      () => setText(made, W.copied),
      () => prompt(W.copyThis, text),
    );
    if (!navigator.clipboard) prompt(W.copyThis, text); // browsers offer it over https and on this machine only
    setTimeout(() => setText(made, label), 1500);
  };
  const made = button(label, "", copy);
  return made;
}

/**
 * Whether an address leads nowhere but to the machine it is opened on: no phone could follow its QR code.
 *
 * @param {string} text
 */
const isHere = (text) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(text).hostname);

/**
 * A QR code, black on white also in the dark: phones want it so.
 *
 * @param {string[]} rows
 * @param {string} label
 */
function qr(rows, label) {
  const path = rows.flatMap((row, y) => [...row].map((dark, x) => (dark === "1" ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return svg(
    "svg",
    {
      class: "ft-share-qr",
      viewBox: `0 0 ${rows.length} ${rows.length}`,
      role: "img",
      "aria-label": label,
      "shape-rendering": "crispEdges",
    },
    svg("rect", { width: rows.length, height: rows.length, fill: "#fff" }),
    svg("path", { d: path, fill: "#000" }),
  );
}
