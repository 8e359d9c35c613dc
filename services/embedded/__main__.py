"""`python -m services.embedded`: run until told to stop. `… config` prints the settings in effect."""

from __future__ import annotations

import asyncio
import sys

from services.embedded.app import serve
from services.embedded.settings import EmbeddedSettings
from services.router.app import build_router
from shared import json_logging
from shared.service import run_service
from shared.settings import SettingsError, config_file, printed

SWITCH_INTERVAL_S = float(__import__("os").environ.get("SWI","0.0005"))


def main(arguments: list[str]) -> int:
    try:
        settings = EmbeddedSettings.read(config_file())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments == ["config"]:
        print(printed(settings), end="")
        return 0
    if arguments:
        print("usage: python -m services.embedded [config]", file=sys.stderr)
        return 2
    json_logging.configure("embedded", level=settings.log_level)
    # The log's writer thread takes the interpreter's lock back after every statement; at the default of 5 ms a busy
    # event loop would make each of them wait as long as a commit takes.
    sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def run(stopping: asyncio.Event) -> None:
        await serve(settings, stopping, build_router, announce=lambda text: print(text, flush=True))

    return run_service(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
