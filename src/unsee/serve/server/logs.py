"""Where this server's own lines go: one JSON object a line, or text. No line holds a prompt, an answer or a key."""

import logging
import sys


def configure(as_json: bool) -> None:
    """Write the lines of `unsee` to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if as_json:
        from pythonjsonlogger.json import JsonFormatter

        handler.setFormatter(
            JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"asctime": "timestamp"})
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("unsee")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
