"""An ingest service as a process of its own: what all of them share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar

from fastapi import APIRouter

from shared import json_logging
from shared.admin import Ready
from shared.clock import Clock
from shared.intake import Intake, first_account_of
from shared.language import language_detector
from shared.log.port import Content, Inputs
from shared.metrics import Catalogue, ProcessMetrics
from shared.process import Backends, ProcessSettings, process_name, run_process
from shared.service import Part, run_service
from shared.settings import Settings, SettingsError, config_file, printed
from shared.views.port import Views
from shared.web_server import WebServer, listen, web_app

S = TypeVar("S", bound=ProcessSettings)
Own = TypeVar("Own", bound=Settings)
Own_contra = TypeVar("Own_contra", bound=Settings, contravariant=True)
Assemble = Callable[[S, Backends, Intake, ExitStack, ProcessMetrics, asyncio.Event], "tuple[Sequence[Part], Ready]"]
"""`(settings, backends, intake, sockets, metrics, stopping)`: the service's parts and what they say of being ready."""


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
        return assemble(settings, backends, intake_of(backends), sockets, metrics, stopping)

    return run_service(
        lambda stopping: run_process(settings, process_name(name), metrics, build, stopping), patience=settings.patience
    )


def intake_of(backends: Backends) -> Intake:
    """The way in, over these."""
    return Intake(
        backends.log.inputs,
        backends.log.content,
        backends.clock,
        backends.partition_of,
        language_detector(),
        first_account_of(backends.views),
    )


class WebIngest(Protocol):
    """A service that customers or providers reach by HTTP or WebSocket."""

    @property
    def routes(self) -> APIRouter: ...

    def observe(self, metrics: ProcessMetrics) -> None:
        """Told where to count before it runs."""
        ...

    async def run(self, stopping: asyncio.Event) -> None: ...


class BuildWeb(Protocol[Own_contra]):
    """`build_chat`, `build_social`."""

    def __call__(
        self,
        settings: Own_contra,
        /,
        *,
        intake: Intake,
        inputs: Inputs,
        content: Content,
        views: Views,
        clock: Clock,
        partition_of: Callable[[str], int],
    ) -> WebIngest: ...


def run_web_ingest(name: str, own: type[Own], build: BuildWeb[Own], arguments: list[str]) -> int:
    """`run_ingest` for a service whose routes are served on the public port. The exit code."""

    def assemble(
        settings: ProcessSettings,
        backends: Backends,
        intake: Intake,
        sockets: ExitStack,
        metrics: ProcessMetrics,
        stopping: asyncio.Event,
    ) -> tuple[Sequence[Part], Ready]:
        service = build(
            own.read(),
            intake=intake,
            inputs=backends.log.inputs,
            content=backends.log.content,
            views=backends.views,
            clock=backends.clock,
            partition_of=backends.partition_of,
        )
        service.observe(metrics)
        public = sockets.enter_context(listen(settings.host, settings.port, setting="PORT"))
        web = WebServer(web_app([service.routes], metrics), public)
        parts = [Part(name="web", run=web.run), Part(name=name, run=service.run)]
        return parts, lambda: True if web.ready.is_set() else "the web server is starting"

    return run_ingest(name, ProcessSettings, own, assemble, arguments)
