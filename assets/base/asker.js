// Questions that a person's typing asks: only the newest one counts.

const VISITOR = crypto.randomUUID?.() ?? String(Math.random()); // this page, so that the app too can drop what is overtaken

/** One question at a time: a newer one makes the answer to an older one worthless. */
export class Asker {
  /**
   * @param {string} address
   * @param {string} noAnswer Said for an app that is silent.
   */
  constructor(address, noAnswer) {
    this.address = address;
    this.noAnswer = noAnswer;
    this.number = 0;
  }

  /**
   * The answer, or null if it was overtaken by a newer question.
   * @param {object} body
   * @returns {Promise<{ value: any, errors: Record<string, string> } | null>}
   */
  async ask(body) {
    const number = ++this.number;
    this.running?.abort();
    this.running = new AbortController();
    const silence = { value: null, errors: { "": this.noAnswer } };
    try {
      const answer = await fetch(this.address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        signal: this.running.signal,
        body: JSON.stringify({ ...body, visitor: VISITOR, number }),
      });
      if (number !== this.number) return null;
      const result = answer.ok ? await answer.json() : silence;
      return number === this.number && !result.overtaken ? result : null;
    } catch (error) {
      return error.name === "AbortError" || number !== this.number ? null : silence;
    }
  }
}
