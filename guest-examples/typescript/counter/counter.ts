// Counters behind HTTP, one for each name. It must never lose a count: it adds inside the store, so that any number of
// requests may count at once.

import * as collections from "stash:storage/collections@0.1.0";
import * as store from "stash:storage/store@0.1.0";

// The engine calls this for each request; it is the export `wasi:http/incoming-handler` of the world.
addEventListener("fetch", (event) => (event as FetchEvent).respondWith(answer((event as FetchEvent).request)));

function answer(request: Request): Response {
  const { pathname, searchParams } = new URL(request.url);
  const name = pathname === "/" ? "count" : pathname.slice(1);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    return text(400, "a name has 1 to 64 letters, digits, '-' and '_'");
  }
  try {
    switch (request.method) {
      case "GET":
        return text(200, current(name));
      case "POST": {
        const by = wholeNumber(searchParams.get("by") ?? "1");
        return by === undefined ? text(400, "by: not a whole number") : text(200, add(name, by));
      }
      case "DELETE":
        store.delete(name);
        return new Response(null, { status: 204 });
      default:
        return text(405, "use GET, POST or DELETE", { allow: "GET, POST, DELETE" });
    }
  } catch (error) {
    return failure(error);
  }
}

function current(name: string): bigint {
  const value = store.get(name);
  if (value === undefined) return 0n;
  // Of a value that is no number, the store itself says so.
  return wholeNumber(new TextDecoder().decode(value)) ?? store.increment(name, 0n);
}

/** Adds inside the store, so that nobody's count is lost. */
function add(name: string, by: bigint): bigint {
  if (by >= 0n) return store.increment(name, by);
  // The engine ends the component where an argument is a number of 64 bits below 0 (ComponentizeJS, issue 343). Inside
  // a list it may be one, and a commit takes a list of changes.
  using counters = collections.open("");
  const [done] = counters.commit([], [{ tag: "increment", val: [name, by] }]).outcomes;
  return done!.number!;
}

/** A decimal number of 64 bits with a sign. Of this size numbers are exact as `bigint` only. */
function wholeNumber(digits: string): bigint | undefined {
  if (!/^-?[0-9]+$/.test(digits)) return undefined;
  const number = BigInt(digits);
  return BigInt.asIntN(64, number) === number ? number : undefined;
}

/** What the store said, for a person. A WIT function that returns an error throws it, as the `payload` of what it throws. */
function failure(thrown: unknown): Response {
  const error = (thrown as { payload?: store.Error }).payload;
  if (error?.tag === undefined) throw thrown; // not of the store: a mistake in this program
  return text(error.tag === "invalid-number" ? 409 : 500, error.tag === "conflict" ? error.val.message : error.val);
}

function text(status: number, line: string | bigint, headers: Record<string, string> = {}): Response {
  return new Response(`${line}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}
