"""Refuses FLARE's own events from other sites. A site may fire events in the server's job; those of FLARE, whose names begin with an
underscore, are heard by the server's own components, which would take them for the end of the job or the start of a round."""

from __future__ import annotations

from typing import Any

from ..files import log_line, shown

OWN = "_"  # the beginning of the names of FLARE's own events


def patch(module: Any) -> None:
    receive = module.FedEventRunner._receive

    def checked(self: Any, topic: str, request: Any, fl_ctx: Any) -> Any:
        name = request.get_header(module.FedEventHeader.EVENT_TYPE, None)
        if isinstance(name, str) and not name.startswith(OWN):
            return receive(self, topic, request, fl_ctx)
        log_line(f"refused: the event {shown(repr(name), 100)} from {request.get_peer_prop(module.ReservedKey.IDENTITY_NAME, None)!r}")
        return module.make_reply(module.ReturnCode.BAD_REQUEST_DATA)

    module.FedEventRunner._receive = checked
