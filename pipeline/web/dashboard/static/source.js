/**
 * Where answers come from: the API that served this page, or the file that holds them.
 *
 * Both have `get(path)`, which resolves to the API's answer or rejects with a Problem; everything else on the
 * page is the same.
 */

const TOKEN = "prompt-stats token";

/** An answer that is an error. `status` is the HTTP one; 0: nobody answered; -1: not in this file. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** A path with its parameters, those that are null left out; a list is given value by value. */
export function path(base, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  const pairs = given.flatMap(([name, value]) => [value].flat().map((each) => [name, String(each)]));
  const query = new URLSearchParams(pairs).toString();
  return query ? `${base}?${query}` : base;
}

/** The source of this page. */
export function sourceOf(page) {
  const embedded = page.getElementById("answers");
  return embedded ? new Embedded(JSON.parse(embedded.textContent)) : new Served();
}

/** Asks the API. The token stays in this tab's session. */
class Served {
  offline = false;

  idOf(key) {
    return key;
  }

  get token() {
    return sessionStorage.getItem(TOKEN);
  }

  set token(secret) {
    if (secret) sessionStorage.setItem(TOKEN, secret);
    else sessionStorage.removeItem(TOKEN);
  }

  async get(wanted) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    let answer;
    try {
      // Relative: the page may be served below another path.
      answer = await fetch(wanted.replace(/^\//, ""), { headers });
    } catch {
      throw new Problem(0, "The server does not answer. Is prompt-stats serve running?");
    }
    const body = await answer.json().catch(() => null);
    if (!answer.ok || body === null) throw new Problem(answer.status, body?.detail ?? answer.statusText);
    // What the browser kept has the age of then in its body. The header is of now, also where the server says that
    // nothing changed.
    const lag = answer.headers.get("Stats-Lag-Seconds");
    return lag === null || Array.isArray(body) ? body : { ...body, lagSeconds: Number(lag) };
  }
}

/** Looks answers up in the page itself. */
class Embedded {
  offline = true;

  constructor({ today, pages, answers }) {
    this.today = today;
    this.pages = pages;
    this.answers = answers;
  }

  /** The id of a prompt that is given by its id or slug: answers lie under ids. */
  idOf(key) {
    return this.pages.find((id) => this.answers[`/prompts/${encodeURIComponent(id)}`]?.prompt.slug === key) ?? key;
  }

  async get(wanted) {
    const answer = this.answers[wanted];
    if (answer === undefined) {
      throw new Problem(-1, "This file does not hold that; the dashboard that prompt-stats serve shows does.");
    }
    return answer;
  }
}
