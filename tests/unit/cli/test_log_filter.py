"""Lines of real logs, and what `panal logs` prints of them."""

import asyncio

import pytest

from panal.cli.log_filter import LogFilter, filtered
from panal.runtimes.flower.logs import LOGS

INFO, WARNING, ERROR = "\x1b[92mINFO \x1b[0m:      ", "\x1b[93mWARNING \x1b[0m:   ", "\x1b[91mERROR \x1b[0m:     "
LIB = "/images/app/1/0123/venv/lib/python3.11/site-packages"
APP = "/volumes/tmp/flwr/apps/me.tiny.0.1.0.4c981e3d"


def left(*lines: str) -> list[str]:
    kept = LogFilter(LOGS)
    found = [each for line in lines for each in kept.feed(line.encode(errors="surrogateescape"))]
    return [line.decode(errors="surrogateescape") for line in [*found, *kept.end()]]


@pytest.mark.parametrize(
    "line",
    [
        "panal: /images/x/venv/bin/python3 /volumes/tools/run.py flower start flower-superlink --insecure --host 127.34.128.2 --port 8000",
        f"{WARNING}Option `--insecure` was set. Starting insecure HTTP server with unencrypted communication (TLS disabled).",
        f"{WARNING}SuperNode authentication is disabled. The SuperLink will accept connections from any SuperNode.",
        f"{INFO}Starting Flower SuperLink",
        f"{INFO}Starting Flower SuperExec",
        f"{INFO}Starting the SuperLink Fleet HTTP API on 127.34.128.2:8000.",
        "2026-11-28T08:03:19.159Z INFO [uvicorn.error] Started server process [26444]",
        '2026-11-28T08:03:19.159Z INFO [uvicorn.access] 127.0.0.1:4 - "POST /v1/fleet/pull-messages HTTP/1.1" 200',
        "2026-11-28T08:03:19.159Z WARNING [uvicorn.error] Invalid HTTP request received.",
        "INFO:     Started server process [26545]",
        "INFO:     Uvicorn running on http://127.34.129.2:9094 (Press CTRL+C to quit)",
        'INFO:     127.0.0.1:41234 - "POST /v1/fleet/send-node-heartbeat HTTP/1.1" 200 OK',
        "INFO:     Finished server process [26545]",
        f"{INFO}FastAPI lifespan: startup",
        f"{INFO}SuperLinkLifespan: stop",
        f"{INFO}[Fleet.ActivateNode] Activated node_id=18421194122966542375",
        f"{INFO}[Fleet.GetRun] Requesting `Run` for run_id=15756882094615663916",
        f"{INFO}ControlServicer.StartRun",
        f"{INFO}Created run 15756882094615663916 in federation @none/default",
        f"{INFO}Start `flwr-serverapp` process",
        f"{INFO}Started task 11100497320886214659 of run 15756882094615663916",
        f"{INFO}Finished task 11100497320886214659 of run 15756882094615663916",
        f"Successfully installed tiny to {APP}.",
        f"{INFO}SuperNode ID: 18421194122966542375",
        f"{INFO}[RUN 15756882094615663916]",
        f"{INFO}[RUN 15756882094615663916, ROUND 2]",
        f"{INFO}Receiving: train message (ID: 6bd83e6cc6077fe8925b5122c5ebee7bdf9de65c0f1fbc4f9a7d07dc92c6edfb)",
        f"{INFO}Sent successfully",
        f"{INFO}",
        f"{INFO}\t",
        f"{INFO}SuperNode terminated gracefully.",
        f"{WARNING}Connection attempt failed, retrying in 0.97 seconds",
        f'{INFO}HTTP Request: POST http://127.34.129.2:8000/v1/fleet/pull-messages "HTTP/1.1 200 OK"',
    ],
)
def test_transport_is_left_out(line):
    assert left(line) == []


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (f"{INFO}[ROUND 1/3]", "[ROUND 1/3]"),
        (f"{INFO}configure_train: Sampled 3 nodes (out of 3)", "configure_train: Sampled 3 nodes (out of 3)"),
        (f"{INFO}\t└──> Aggregated MetricRecord: {{'loss': 1.0}}", "\t└──> Aggregated MetricRecord: {'loss': 1.0}"),
        (f"{WARNING}fraction_evaluate is set to 0.0.", "WARNING: fraction_evaluate is set to 0.0."),
        (f"{ERROR}ServerApp raised an exception", "ERROR: ServerApp raised an exception"),
        (f"{ERROR}Exit Code: 600", "ERROR: Exit Code: 600"),
        ("panal: round 1: 0 of 2 replies needed; training is repeated", "panal: round 1: 0 of 2 replies needed; training is repeated"),
        ("cluster1: 600 points, accuracy 0.713", "cluster1: 600 points, accuracy 0.713"),
        ("\x1b[1;31mof the app's own\x1b[0m", "of the app's own"),
        ("INFO:root:an app's own logging", "INFO:root:an app's own logging"),
        ("INFO:     an app's own words", "INFO:     an app's own words"),
        ("  indented, and no traceback", "  indented, and no traceback"),
        ("no UTF-8: caf\udce9", "no UTF-8: caf\udce9"),
        ("", ""),
    ],
)
def test_the_rest_is_printed_without_colours(line, printed):
    assert left(line) == [printed]


FLOWERS_FRAMES = [
    f'  File "{LIB}/flwr/supernode/runtime/run_clientapp.py", line 193, in run_clientapp',
    "    reply_message = client_app(message=message, context=context)",
    "                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    f'  File "{LIB}/flwr/clientapp/client_app.py", line 161, in __call__',
    "    return self._registered_funcs[full_name](message, context)",
]
HEAD = "Traceback (most recent call last):"


def test_of_an_exception_the_apps_own_part_is_at_the_end():
    printed = left(
        f"{ERROR}ClientApp raised an exception",
        HEAD,
        *FLOWERS_FRAMES,
        f'  File "{APP}/tiny/client_app.py", line 17, in train',
        "    return fit(x)",
        "           ^^^^^^",
        '  File "/volumes/tools/panal_tools/flower/server_hook.py", line 50, in start',
        "    return observation.run()",
        f'  File "{LIB}/numpy/linalg.py", line 9, in solve',
        "    raise LinAlgError",
        "numpy.linalg.LinAlgError: Singular matrix",
        f"{ERROR}Exit Code: 800",
        "An unhandled exception occurred in a task process.",
        "For more information, visit: <https://flower.ai/docs/framework/1.42/en/ref-exit-codes/800.html>",
        f"{INFO}[RUN 10979841468042100315]",
    )
    assert printed == [
        "ERROR: ClientApp raised an exception",
        HEAD,
        '  File "tiny/client_app.py", line 17, in train',
        "    return fit(x)",
        "           ^^^^^^",
        f'  File "{LIB}/numpy/linalg.py", line 9, in solve',
        "    raise LinAlgError",
        "numpy.linalg.LinAlgError: Singular matrix",
    ]


REFUSED = f"{ERROR}[/v1/runtime/push-task-output][ApiError:1008] Runtime task-token authentication failed."


def test_what_follows_from_an_exception_is_left_out():
    raised = [
        f"{ERROR}ClientApp raised an exception",
        HEAD,
        f'  File "{APP}/tiny/client_app.py", line 17, in train',
        "    raise ValueError",
    ]
    once = [*raised, "ValueError: x", f"{INFO}Sent successfully", REFUSED]
    shown = ["ERROR: ClientApp raised an exception", HEAD, '  File "tiny/client_app.py", line 17, in train', "    raise ValueError"]
    assert left(*once, *once) == [*shown, "ValueError: x"] * 2
    assert left(*raised, REFUSED, "ValueError: x") == [*shown, "ValueError: x"]  # of another process, within the traceback


def test_without_an_exception_it_is_shown():
    line = "ERROR: [/v1/runtime/push-task-output][ApiError:1008] Runtime task-token authentication failed."
    assert left(REFUSED) == [line]
    assert left(HEAD, "ValueError: x", REFUSED, REFUSED) == [HEAD, "ValueError: x", line]


def test_a_traceback_without_the_app_stays_whole():
    lines = [HEAD, *FLOWERS_FRAMES, "KeyError: 'partition-id'"]
    assert left(*lines) == lines


def test_what_others_say_within_a_traceback_does_not_end_it():
    frame = [f'  File "{APP}/tiny/client_app.py", line 17, in train', "    raise ValueError"]
    assert left(HEAD, FLOWERS_FRAMES[0], f"{INFO}[ROUND 2/3]", f"{INFO}Sent successfully", *frame, "ValueError: x") == [
        "[ROUND 2/3]",
        HEAD,
        '  File "tiny/client_app.py", line 17, in train',
        "    raise ValueError",
        "ValueError: x",
    ]


def test_of_a_chain_every_exception_is_shown():
    one = [f'  File "{APP}/tiny/client_app.py", line 3, in load', "    open(path)"]
    between = "During handling of the above exception, another exception occurred:"
    printed = left(HEAD, *one, "FileNotFoundError: data.csv", between, HEAD, *FLOWERS_FRAMES, *one, "RuntimeError: no data")
    assert [line for line in printed if not line.startswith("  ")] == [
        HEAD, "FileNotFoundError: data.csv", between, HEAD, "RuntimeError: no data",
    ]  # fmt: skip


HEART = [
    "Exception in thread Thread-2 (_run):",
    HEAD,
    '  File "/usr/lib/python3.11/threading.py", line 1045, in _bootstrap_inner',
    "    self.run()",
    f'  File "{LIB}/flwr/supercore/heartbeat.py", line 98, in _run',
    "    self._retry_invoker.invoke(self._heartbeat)",
    "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'http://127.34.129.3:8000/v1/fleet/send-node-heartbeat'",
]


def test_a_heartbeat_that_fails_is_transport():
    assert left(*HEART) == []


def test_a_thread_of_the_apps_is_not():
    lines = [
        HEART[0],
        HEAD,
        *HEART[2:4],
        f'  File "{APP}/tiny/loader.py", line 1, in run',
        "    1 / 0",
        "ZeroDivisionError: division by zero",
    ]
    assert left(*lines) == [line.replace(f"{APP}/", "") for line in lines]
    assert left(HEART[0], "and nothing more") == [HEART[0], "and nothing more"]
    assert left(HEART[0]) == [HEART[0]]


def test_a_log_that_ends_within_a_traceback():
    lines = [HEAD, f'  File "{LIB}/numpy/linalg.py", line 9, in solve']
    assert left(*lines) == lines


def test_a_traceback_without_end_is_not_kept_for_ever():
    kept = LogFilter(LOGS)
    printed = [line for number in range(5000) for line in kept.feed(HEAD.encode() if number == 0 else b'  File "a.py", line 1')]
    assert len(printed) >= 2000


def test_a_log_is_filtered_as_it_comes():
    async def lines():
        for line in (f"{INFO}[ROUND 1/3]", f"{INFO}Sent successfully", HEAD):
            yield line.encode()

    async def found():
        return [line async for line in filtered(lines(), LOGS)]

    assert asyncio.run(found()) == [b"[ROUND 1/3]", HEAD.encode()]
