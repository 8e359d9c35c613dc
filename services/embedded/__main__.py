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

    async def run(stopping: asyncio.Event) -> None:
        await serve(settings, stopping, build_router, announce=lambda text: print(text, flush=True))

    return run_service(run, patience=settings.patience)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
