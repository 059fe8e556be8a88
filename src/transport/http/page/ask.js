// Questions to the daemon: the token, errors in words, and the stream of samples, which comes back by itself.

/** The daemon said no: `message` says why. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const access = { token: sessionStorage.getItem("rustcache.token"), waiting: [] };

function headersWith(headers) {
  return access.token === null ? headers : { ...headers, Authorization: `Bearer ${access.token}` };
}

/** Asks until there is a token that counts; then as `fetch`, but for answers that are errors, which are thrown. */
async function ask(method, path, { headers = {}, ...rest } = {}) {
  for (;;) {
    const token = access.token;
    const response = await fetch(path, { method, headers: headersWith(headers), cache: "no-store", ...rest });
    if (response.status !== 401) {
      if (response.ok) return response;
      throw new Refusal(response.status, await reasonOf(response));
    }
    // Another question may have been given one meanwhile.
    if (token === access.token) await tokenGiven(token !== null);
  }
}

async function reasonOf(response) {
  const problem = await response.json().catch(() => null);
  return problem?.detail ?? problem?.title ?? `the daemon answered ${response.status} ${response.statusText}`;
}

function tokenGiven(wasWrong) {
  byId("access").hidden = false;
  say("warn", "A token is needed");
  if (wasWrong) byId("access-note").textContent = "That is not the daemon's token.";
  return new Promise((resolve) => access.waiting.push(resolve));
}

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  access.token = byId("token").value.trim();
  sessionStorage.setItem("rustcache.token", access.token);
  byId("token").value = "";
  byId("access").hidden = true;
  for (const resume of access.waiting.splice(0)) resume();
});

/** A sample comes each second: whoever is silent for so long is gone. */
const SILENCE_MS = 6000;
const LONGEST_PAUSE_MS = 5000;

/** Events of /v1/events for ever, as `{name, id, data}`. `EventSource` could not send a token. */
async function* samplesFor(onLost) {
  let last = "0";
  let pause = 250;
  for (;;) {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const response = await ask("GET", "/v1/events", { headers: { "Last-Event-ID": last }, signal: abort.signal });
      for await (const event of eventsOf(response.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), SILENCE_MS);
        last = event.id ?? last;
        pause = 250;
        yield event;
      }
    } catch {
      // Whatever it was, the next attempt will tell.
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
    onLost();
    // Pages that lost the same daemon do not all come back at once.
    await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function* eventsOf(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const fields = Object.fromEntries(
        event.split("\n").map((line) => {
          const colon = line.indexOf(": ");
          return [line.slice(0, colon), line.slice(colon + 2)];
        }),
      );
      if (fields.data !== undefined) yield { name: fields.event, id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}
