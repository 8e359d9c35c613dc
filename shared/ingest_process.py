"""An ingest service as a process of its own: what all of them share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

from shared import json_logging
from shared.admin import Ready
from shared.intake import Intake, first_account_of
from shared.language import language_detector
from shared.metrics import Catalogue, ProcessMetrics
from shared.process import Backends, ProcessSettings, process_name, run_process
from shared.service import Part, run_service
from shared.settings import Settings, SettingsError, config_file, printed

S = TypeVar("S", bound=ProcessSettings)
Assemble = Callable[[S, Backends, Intake, ExitStack, asyncio.Event], "tuple[Sequence[Part], Ready]"]
"""`(settings, backends, intake, sockets, stopping)`: the service's parts and what they say of their readiness."""


def run_ingest(
    name: str, settings_type: type[S], own: type[Settings], assemble: Assemble[S], arguments: list[str]
) -> int:
    """Run a service until told to stop; with `config` as the argument, print its settings. The exit code.

    `own` are the service's settings beside those of the process.
    """
    try:
        settings = settings_type.read(config_file())
        if arguments == ["config"]:
            print(printed(settings) + printed(own.read()), end="")
            return 0
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments:
        print(f"usage: python -m services.{name} [config]", file=sys.stderr)
        return 2
    json_logging.configure(name, level=settings.log_level)
    metrics = ProcessMetrics(Catalogue())

    async def build(
        backends: Backends, sockets: ExitStack, _: ProcessMetrics, stopping: asyncio.Event
    ) -> tuple[Sequence[Part], Ready]:
        intake = Intake(
            backends.log.inputs,
            backends.log.content,
            backends.clock,
            backends.partition_of,
            language_detector(),
            first_account_of(backends.views),
        )
        return assemble(settings, backends, intake, sockets, stopping)

    return run_service(lambda stopping: run_process(settings, process_name(name), metrics, build, stopping))
