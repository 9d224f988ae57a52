"""Binds what a client says about itself inside a task's result to the client that has sent it: FLARE knows the client by its token, but
takes the name of a contributor from the content."""

from __future__ import annotations

from typing import Any

from ..files import log_line


def patch(module: Any) -> None:
    runner = module.ServerRunner
    submission, request = runner.process_submission, runner.process_task_request

    def process_submission(self: Any, client: Any, task_name: str, task_id: str, result: Any, fl_ctx: Any) -> Any:
        if _is_itself(client, fl_ctx):
            return submission(self, client, task_name, task_id, result, fl_ctx)
        return None

    def process_task_request(self: Any, client: Any, fl_ctx: Any) -> Any:
        return request(self, client, fl_ctx) if _is_itself(client, fl_ctx) else self._task_try_again()

    runner.process_submission, runner.process_task_request = process_submission, process_task_request


def _is_itself(client: Any, fl_ctx: Any) -> bool:
    peer = fl_ctx.get_peer_context()
    named = peer.get_identity_name() if peer else client.name
    if named != client.name:
        log_line(f"refused: client={client.name}: the content says that it is from {named!r}")
    return bool(named == client.name)
