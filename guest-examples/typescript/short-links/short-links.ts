// Short names for long URLs, behind HTTP. It uses nothing but the standard `wasi:keyvalue`, so it runs on every host that
// has that. It must never lose a hit: it adds inside the store.

import { increment } from "wasi:keyvalue/atomics@0.2.0-draft";
import { getMany } from "wasi:keyvalue/batch@0.2.0-draft";
import { type Error as StoreError, open } from "wasi:keyvalue/store@0.2.0-draft";

/** No URL is longer. */
const MAX_URL_BYTES = 2048;

/** How many values are asked for in one call. */
const BATCH = 1000;

// The engine calls this for each request; it is the export `wasi:http/incoming-handler` of the world.
addEventListener("fetch", (event) => (event as FetchEvent).respondWith(answer((event as FetchEvent).request)));

async function answer(request: Request): Promise<Response> {
  const { method } = request;
  if (!["GET", "PUT", "DELETE"].includes(method)) {
    return text(405, "use GET, PUT or DELETE\n", { allow: "GET, PUT, DELETE" });
  }
  const { pathname } = new URL(request.url);
  const [, name, hits] = /^\/([A-Za-z0-9_-]{1,64})(\/hits)?$/.exec(pathname) ?? [];
  try {
    if (method === "GET" && pathname === "/") return list();
    if (name === undefined || (hits && method !== "GET")) {
      return text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n");
    }
    if (method === "PUT") return await put(name, request);
    if (method === "DELETE") return remove(name);
    return hits ? count(name) : follow(name);
  } catch (error) {
    return failure(error);
  }
}

function list(): Response {
  using links = open("links");
  const names: string[] = [];
  let cursor: bigint | undefined;
  do {
    const page = links.listKeys(cursor);
    names.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== undefined);
  names.sort();
  let lines = "";
  for (let from = 0; from < names.length; from += BATCH) {
    for (const link of getMany(links, names.slice(from, from + BATCH))) {
      // There is none where somebody has deleted the link since it was listed.
      if (link) lines += `${link[0]} ${decode(link[1])}\n`;
    }
  }
  return text(200, lines);
}

function follow(name: string): Response {
  using links = open("links");
  const url = links.get(name);
  if (url === undefined) return unknown();
  using hits = open("hits");
  increment(hits, name, 1n);
  // A header is bytes, which JavaScript writes as characters up to 255.
  return new Response(null, { status: 302, headers: { location: String.fromCharCode(...url) } });
}

function count(name: string): Response {
  using links = open("links");
  if (!links.exists(name)) return unknown();
  using hits = open("hits");
  const value = hits.get(name);
  return text(200, `${value ? decode(value) : 0}\n`);
}

async function put(name: string, request: Request): Promise<Response> {
  const url = await linkIn(request);
  if (url === undefined) return text(400, "a link is a URL that begins with http:// or https://\n");
  using links = open("links");
  const replaced = links.exists(name);
  links.set(name, new TextEncoder().encode(url));
  return new Response(null, { status: replaced ? 204 : 201 });
}

function remove(name: string): Response {
  using links = open("links");
  using hits = open("hits");
  // The link first: after it nobody counts.
  links.delete(name);
  hits.delete(name);
  return new Response(null, { status: 204 });
}

/** The URL in a request's body, or nothing where there is none. It reads no more than a URL with some space around it. */
async function linkIn(request: Request): Promise<string | undefined> {
  const bytes: number[] = [];
  const reader = request.body?.getReader();
  for (let chunk = await reader?.read(); chunk?.value; chunk = await reader?.read()) {
    if (bytes.length + chunk.value.length > 2 * MAX_URL_BYTES) return undefined;
    bytes.push(...chunk.value);
  }
  try {
    const url = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes)).trim();
    const short = new TextEncoder().encode(url).length <= MAX_URL_BYTES;
    return short && /^https?:\/\/[^\s\p{Cc}]*$/u.test(url) ? url : undefined;
  } catch {
    return undefined; // not UTF-8
  }
}

const unknown = () => text(404, "no such link\n");

/** What the store said. A WIT function that returns an error throws it, as the `payload` of what it throws. */
function failure(thrown: unknown): Response {
  const error = (thrown as { payload?: StoreError }).payload;
  if (error?.tag === undefined) throw thrown; // not of the store: a mistake in this program
  return text(500, `${error.tag === "other" ? error.val : error.tag}\n`);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}
