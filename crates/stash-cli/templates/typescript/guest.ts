// Greets, and counts who it has greeted.

import * as store from "stash:storage/store@0.1.0";

// The engine calls this for each request; it is the export `wasi:http/incoming-handler` of wit/world.wit.
addEventListener("fetch", (event) => (event as FetchEvent).respondWith(answer((event as FetchEvent).request)));

function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname !== "/") return new Response("there is nothing here\n", { status: 404 });
  try {
    // It adds inside the store: no visit is lost, however many come at once.
    const visits = store.increment("visits", 1n);
    return new Response(`Hello from {{name}}! You are visitor ${visits}.\n`);
  } catch (error) {
    // A WIT function that returns an error throws it, as the `payload` of what it throws.
    const { tag, val } = (error as { payload: store.Error }).payload;
    return new Response(`${tag}: ${typeof val === "string" ? val : val.message}\n`, { status: 500 });
  }
}
