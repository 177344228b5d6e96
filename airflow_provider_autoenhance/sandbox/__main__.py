"""Command line of the sandbox."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULT_KEY = "sandbox-key"
KEY_VARIABLE = "AUTOENHANCE_SANDBOX_API_KEY"
TOKEN_VARIABLE = "AUTOENHANCE_SANDBOX_WEBHOOK_TOKEN"  # noqa: S105 - a name
OPTIONS = frozenset(
    [
        "credits",
        "daily_limit",
        "latency_ms",
        "processing_seconds",
        "render",
        "strict",
        "upload_url_seconds",
        "webhook_url",
    ],
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    :param arguments: what follows the program's name; None reads those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_autoenhance.sandbox",
        description="A local Autoenhance API with an S3 beside it. Prints the environment that connects Airflow to both.",
        allow_abbrev=False,
    )
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    where.add_argument("--port", type=int, default=8787, help="port of the API, 0 = a free one (%(default)s)")
    where.add_argument("--s3-port", type=int, help="port of S3 (8788; a free one with --port 0)")
    where.add_argument("--no-s3", action="store_true", help="leave S3 out")
    where.add_argument("--asset-port", type=int, help="port of uploads and downloads (8789; a free one with --port 0)")
    where.add_argument("--public-host", help="host name in the URLs handed out (default: the one each client used)")
    where.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="answer to this name too, for containers and networks (loopback names, --host and --public-host alone)",
    )
    where.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let web pages of this origin call the API and the asset host (none)",
    )
    where.add_argument("--tls-cert", type=Path, help="certificate file: serve https on all ports")
    where.add_argument("--tls-key", type=Path, help="its key file")
    where.add_argument("--data-dir", type=Path, help="folder for files while it runs (default: a temporary one)")
    where.add_argument("--env-file", type=Path, help="also write the environment lines to this file when ready")
    where.add_argument("--stop-on-eof", action="store_true", help="also stop when standard input ends")
    what = parser.add_argument_group("what it does")
    what.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"account keys, one a line (those in the environment's {KEY_VARIABLE}, else {DEFAULT_KEY})",
    )
    what.add_argument("--credits", type=int, metavar="N", help="credits per account (1000)")
    what.add_argument("--daily-limit", type=int, metavar="N", help="enhancements per day, 0 = no limit (500)")
    what.add_argument("--processing-seconds", type=_range, metavar="MIN,MAX", help="time per enhancement (1,3)")
    what.add_argument("--latency-ms", type=float, metavar="MS", help="delay added to each API call (0)")
    what.add_argument("--upload-url-seconds", type=int, metavar="S", help="life of upload URLs (3600)")
    what.add_argument(
        "--render",
        choices=("enhance", "copy", "copy-big"),
        help="copy, copy-big: leave pixels alone, for load tests (enhance)",
    )
    what.add_argument("--webhook-url", metavar="URL", help="where to post events")
    what.add_argument(
        "--webhook-token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the value of their Authentication header (the environment's {TOKEN_VARIABLE})",
    )
    what.add_argument("--faults", type=Path, metavar="FILE", help="JSON list of fault rules")
    what.add_argument("--strict", action="store_true", default=None, help="refuse unknown fields with 422")
    what.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="any other setting of state/settings.py"
    )
    parsed = parser.parse_args(arguments)
    if (parsed.tls_cert is None) != (parsed.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    return parsed


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(",")
    return float(low), float(high or low)


def _secret(file: Path | None, variable: str) -> str:
    """Read a secret. It is never on the command line, which every user of the machine can read."""
    given = os.environ.pop(variable, "").strip()
    if file is None:
        return given
    text = file.read_text().strip()
    if not text:
        raise ValueError(f"{file} is empty")
    return text


def _settings(parsed: argparse.Namespace) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for pair in parsed.set:
        name, _, value = pair.partition("=")
        if name == "webhook_token":
            raise ValueError(f"--set takes no webhook_token: give it by {TOKEN_VARIABLE} or --webhook-token-file")
        try:
            chosen[name] = json.loads(value)
        except ValueError:
            chosen[name] = value
    options = {name: value for name, value in vars(parsed).items() if name in OPTIONS and value is not None}
    token = _secret(parsed.webhook_token_file, TOKEN_VARIABLE)
    return chosen | options | ({"webhook_token": token} if token else {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is stopped.

    :param arguments: as for :func:`parse`.
    :returns: the exit status.
    """
    parsed = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return _run(parsed)
    except ImportError as error:
        print(f"The sandbox needs {error.name}: pip install 'airflow-provider-autoenhance[sandbox]'", file=sys.stderr)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"The sandbox could not start: {error}", file=sys.stderr)
    return 1


def _api_keys(file: Path | None) -> list[str]:
    keys = _secret(file, KEY_VARIABLE).split() or [DEFAULT_KEY]
    if not all(key.isascii() and key.isprintable() for key in keys):
        raise ValueError(f"an API key in {file or KEY_VARIABLE} holds more than printable ASCII characters")
    return keys


def _run(parsed: argparse.Namespace) -> int:
    import uvloop

    from airflow_provider_autoenhance.sandbox.server import Options, serve
    from airflow_provider_autoenhance.sandbox.state.faults import FaultRule
    from airflow_provider_autoenhance.sandbox.state.settings import Settings

    rules = json.loads(parsed.faults.read_text()) if parsed.faults else []
    free = parsed.port == 0
    s3_port = parsed.s3_port if parsed.s3_port is not None else (0 if free else 8788)
    options = Options(
        host=parsed.host,
        port=parsed.port,
        s3_port=None if parsed.no_s3 else s3_port,
        asset_port=parsed.asset_port if parsed.asset_port is not None else (0 if free else 8789),
        api_keys=_api_keys(parsed.api_key_file),
        data_dir=parsed.data_dir,
        public_host=parsed.public_host,
        allow_hosts=parsed.allow_host,
        allow_origins=parsed.allow_origin,
        env_file=parsed.env_file,
        tls=(parsed.tls_cert, parsed.tls_key) if parsed.tls_cert else None,
        stop_on_eof=parsed.stop_on_eof,
        settings=Settings.model_validate(_settings(parsed)),
        rules=[FaultRule.model_validate(rule) for rule in rules],
    )
    uvloop.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
