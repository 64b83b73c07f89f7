"""Short names for long URLs, behind HTTP. It uses nothing but the standard `wasi:keyvalue`, so it runs on every host that
has that. It must never lose a hit: it adds inside the store."""

import re

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import atomics, batch, store
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    Method_Delete,
    Method_Get,
    Method_Put,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

MAX_URL_BYTES = 2048  # no URL is longer
BATCH = 1000  # how many values are asked for in one call
WRITE = 4096  # how many bytes a stream takes at once

# Status, headers and body.
Answer = tuple[int, dict[str, bytes], bytes]


class IncomingHandler(exports.IncomingHandler):
    """The export `wasi:http/incoming-handler` of the world; the host calls it for each request."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        try:
            given = answer(request)
        except Err as error:
            given = failure(error.value)
        send(given, response_out)


def answer(request: IncomingRequest) -> Answer:
    method = request.method()
    if not isinstance(method, Method_Get | Method_Put | Method_Delete):
        return text(405, "use GET, PUT or DELETE\n", allow=b"GET, PUT, DELETE")
    path = (request.path_with_query() or "/").partition("?")[0]
    parts = re.fullmatch(r"/([A-Za-z0-9_-]{1,64})(/hits)?", path)
    match method, parts and parts.groups():
        case Method_Get(), None if path == "/":
            return list_links()
        case Method_Get(), (name, None):
            return follow(name)
        case Method_Get(), (name, _):
            return count(name)
        case Method_Put(), (name, None):
            return put(name, request)
        case Method_Delete(), (name, None):
            return delete(name)
        case _:
            return text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n")


def list_links() -> Answer:
    links = store.open("links")
    page = links.list_keys(None)
    names = page.keys
    while page.cursor is not None:
        page = links.list_keys(page.cursor)
        names += page.keys
    names.sort()
    lines = []
    for start in range(0, len(names), BATCH):
        for link in batch.get_many(links, names[start : start + BATCH]):
            if link is not None:  # else somebody has deleted it since it was listed
                name, url = link
                lines.append(b"%s %s\n" % (name.encode(), url))
    return 200, TEXT, b"".join(lines)


def follow(name: str) -> Answer:
    url = store.open("links").get(name)
    if url is None:
        return UNKNOWN
    atomics.increment(store.open("hits"), name, 1)
    return 302, {"location": url}, b""


def count(name: str) -> Answer:
    if not store.open("links").exists(name):
        return UNKNOWN
    hits = store.open("hits").get(name)
    return 200, TEXT, (hits or b"0") + b"\n"


def put(name: str, request: IncomingRequest) -> Answer:
    url = link_in(request)
    if url is None:
        return text(400, "a link is a URL that begins with http:// or https://\n")
    links = store.open("links")
    replaced = links.exists(name)
    links.set(name, url.encode())
    return 204 if replaced else 201, {}, b""


def delete(name: str) -> Answer:
    # The link first: after it nobody counts.
    store.open("links").delete(name)
    store.open("hits").delete(name)
    return 204, {}, b""


def link_in(request: IncomingRequest) -> str | None:
    """The URL in a request's body, or nothing where there is none."""
    try:
        url = received(request, 2 * MAX_URL_BYTES).decode().strip()
    except UnicodeDecodeError:
        return None
    # The classes are those of spaces and of control characters.
    fits = len(url.encode()) <= MAX_URL_BYTES and re.fullmatch(r"https?://[^\s\x00-\x1f\x7f-\x9f]*", url)
    return url if fits else None


def received(request: IncomingRequest, limit: int) -> bytes:
    """A request's body. Of one that is longer than `limit`, somewhat more than that."""
    body, bytes = request.consume(), b""
    with body.stream() as stream:
        try:
            while len(bytes) <= limit:
                bytes += stream.blocking_read(WRITE)
        except Err as end:
            if not isinstance(end.value, StreamError_Closed):
                raise
    IncomingBody.finish(body)
    return bytes


def failure(error) -> Answer:
    """What the store said. A WIT function that returns an error raises it as the value of an `Err`."""
    match error:
        case store.Error_NoSuchStore():
            reason = "no-such-store"
        case store.Error_AccessDenied():
            reason = "access-denied"
        case store.Error_Other(value):
            reason = value
        case _:
            raise Err(error)  # not of the store: a mistake in this program
    return text(500, f"{reason}\n")


TEXT = {"content-type": b"text/plain; charset=utf-8"}


def text(status: int, body: str, **headers: bytes) -> Answer:
    return status, {**TEXT, **headers}, body.encode()


UNKNOWN = text(404, "no such link\n")


def send(answer: Answer, response_out: ResponseOutparam) -> None:
    status, headers, content = answer
    response = OutgoingResponse(Fields.from_list(list(headers.items())))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    if content:
        with body.write() as stream:
            for start in range(0, len(content), WRITE):
                stream.blocking_write_and_flush(content[start : start + WRITE])
    OutgoingBody.finish(body, None)
