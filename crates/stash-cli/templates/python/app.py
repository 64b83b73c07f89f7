"""Greets, and counts who it has greeted."""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import store
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    """The export `wasi:http/incoming-handler` of wit/world.wit; the host calls it for each request."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        status, text = answer(request.path_with_query() or "/")
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            # At most 4096 bytes at once.
            stream.blocking_write_and_flush(text.encode())
        OutgoingBody.finish(body, None)


def answer(path: str) -> tuple[int, str]:
    if path.split("?")[0] != "/":
        return 404, "there is nothing here\n"
    try:
        # It adds inside the store: no visit is lost, however many come at once.
        visits = store.increment("visits", 1)
    except Err as error:
        # A WIT function that returns an error raises it as the value of an `Err`.
        return 500, f"{error.value}\n"
    return 200, f"Hello from {{name}}! You are visitor {visits}.\n"
