"""What `panal logs` leaves out of Flower's output: lines about the start and stop of servers, requests, heartbeats and the transfer of
messages, and Flower's frames in tracebacks of the app."""

from __future__ import annotations

import re

from panal.runtimes.logs import Logs

LOGS = Logs(
    aggregator="superlink",
    collaborator="supernode",
    noise=re.compile(
        "|".join(
            (
                r"panal: \S+ \S+/run\.py flower start flower-super(link|node) .*",
                r"\S+Z [A-Z]+ \[(uvicorn|httpx|httpcore)[\w.]*\] .*",
                r"INFO: +(Started|Finished) server process .*",
                r"INFO: +(Waiting for (application|connections|background)|Application (startup|shutdown)|Uvicorn running|Shutting down).*",
                r'INFO: +[\w.:\[\]]+ - "[A-Z]+ /.*" \d+.*',
                r"Successfully installed \S+ to \S*/flwr/apps/\S+",
                r"An unhandled exception occurred in (the ServerApp|a task process)\.",
                r"For more information, visit: <https://flower\.ai/docs/framework/\S*/ref-exit-codes/\S*",
            )
        )
    ),
    level=re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) :(?: {2,}(?P<message>.*))?"),
    level_noise=re.compile(
        "|".join(
            (
                r"",
                r"Option `--insecure` was set\..*",
                r"SuperNode authentication is disabled\..*",
                r"Starting (Flower Super(Link|Node|Exec)|the SuperLink \w+ HTTP API on .*)",
                r"(FastAPI lifespan|SuperLinkLifespan): \w+",
                r"\[(Fleet|Control|Runtime|AppIo)\.\w+\] .*",
                r"ControlServicer\.\w+.*",
                r"Created run \d+ in federation .*",
                r"Start `flwr-\w+` process",
                r"(Started|Finished) task \d+ of run \d+",
                r"SuperNode ID: \d+",
                r"SuperNode terminated gracefully\.",
                r"\[RUN \d+(, ROUND .*)?\]",
                r"(Receiving|Sending): .* message \(ID: \w+\)",
                r"(Received|Sent) successfully",
                r"Connection attempt failed, retrying in [\d.]+ seconds",
                r"HTTP Request: [A-Z]+ .*",
                r"Exit Code: (201|800)",  # an exception of the app, which was printed before
            )
        )
    ),
    # The process of a task that failed reports its end when its SuperNode has sent the reply and forgotten the task's token.
    consequence=re.compile(r"ERROR: \[/v1/\w+/push-task-output\]\[ApiError:\d+\] \w+ task-token authentication failed\."),
    framework=re.compile(r".*/site-packages/(flwr|httpx|httpcore|uvicorn|starlette|anyio)/.*"),
    background=re.compile(r".*/site-packages/flwr/.*heartbeat\.py"),
    unpacked=re.compile(r'"[^"]*/flwr/apps/[^/"]+/'),  # where Flower unpacks an app
)
