"""Counters behind HTTP, one for each name. It must never lose a count: it adds inside the store, so that any number of
requests may count at once."""

import re
from urllib.parse import parse_qs

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import store
from wit_world.imports.stash_storage_types import Error_Conflict, Error_InvalidNumber
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingRequest,
    Method_Delete,
    Method_Get,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

# Status, further headers, and a text or nothing.
Answer = tuple[int, dict[str, str], str]


class IncomingHandler(exports.IncomingHandler):
    """The export `wasi:http/incoming-handler` of the world; the host calls it for each request."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        try:
            send(answer(request), response_out)
        except Err as error:
            send(failure(error.value), response_out)


def answer(request: IncomingRequest) -> Answer:
    path, _, query = (request.path_with_query() or "/").partition("?")
    name = "count" if path == "/" else path.removeprefix("/")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return 400, {}, "a name has 1 to 64 letters, digits, '-' and '_'\n"
    match request.method():
        case Method_Get():
            return 200, {}, f"{current(name)}\n"
        case Method_Post():
            by = whole_number(parse_qs(query, keep_blank_values=True).get("by", ["1"])[0])
            if by is None:
                return 400, {}, "by: not a whole number\n"
            return 200, {}, f"{store.increment(name, by)}\n"
        case Method_Delete():
            store.delete(name)
            return 204, {}, ""
        case _:
            return 405, {"allow": "GET, POST, DELETE"}, "use GET, POST or DELETE\n"


def current(name: str) -> int:
    value = store.get(name)
    if value is None:
        return 0
    number = whole_number(value.decode(errors="replace"))
    # Of a value that is no number, the store itself says so.
    return store.increment(name, 0) if number is None else number


def whole_number(digits: str) -> int | None:
    """A decimal number of 64 bits with a sign, or nothing."""
    if not re.fullmatch(r"-?[0-9]{1,4000}", digits):
        return None
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else None


def failure(error) -> Answer:
    """What the store said, for a person. A WIT function that returns an error raises it as the value of an `Err`."""
    text = error.value.message if isinstance(error, Error_Conflict) else error.value
    return 409 if isinstance(error, Error_InvalidNumber) else 500, {}, f"{text}\n"


def send(answer: Answer, response_out: ResponseOutparam) -> None:
    status, headers, text = answer
    if text:
        headers = {"content-type": "text/plain; charset=utf-8", **headers}
    response = OutgoingResponse(Fields.from_list([(name, value.encode()) for name, value in headers.items()]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    if text:
        with body.write() as stream:
            stream.blocking_write_and_flush(text.encode())
    OutgoingBody.finish(body, None)
