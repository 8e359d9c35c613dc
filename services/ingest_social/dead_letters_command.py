"""`python -m services.ingest_social dead-letters list|replay`: what could not be read, read once more.

A replay goes the way of a webhook behind its signature, which was checked when the request came. Source keys are the
same, so what was accepted already, then or by an earlier replay, counts once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import httpx

from services.ingest_social.app import platforms_of
from services.ingest_social.dead_letters import DeadLetters, Letter
from services.ingest_social.settings import SocialSettings
from services.ingest_social.webhook import Webhooks
from shared.clock import SystemClock
from shared.ingest_process import intake_of
from shared.log.port import LogUnavailable
from shared.process import ProcessSettings, open_backends, process_name
from shared.service import CannotStart
from shared.settings import config_file


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, 1 if letters are left that were to be replayed, 2 for what a person has to put right."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest_social dead-letters")
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="what is kept, without what customers wrote")
    listing.add_argument("--raw", action="store_true", help="print the requests too: customers' words are in them")
    replaying = verbs.add_parser("replay", help="read them again; those that succeed are removed")
    replaying.add_argument("ids", nargs="*", metavar="ID", help="only these; without any, all")
    options = parser.parse_args(arguments)
    try:
        social = SocialSettings.read()
        letters = DeadLetters(social.data_dir, "ingest_social", SystemClock())
        if options.verb == "list":
            for letter in letters.letters():
                print(described(letter, raw=options.raw))
            return 0
        chosen = [letter for letter in letters.letters() if not options.ids or letter.id in options.ids]
        return asyncio.run(_replay_all(ProcessSettings.read(config_file()), social, letters, chosen))
    except (CannotStart, LogUnavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def described(letter: Letter, *, raw: bool = False) -> str:
    """One line about a letter; with `raw`, the request on lines below."""
    at = datetime.fromtimestamp(letter.at / 1000, UTC).isoformat(timespec="seconds")
    where = f"{letter.provider}/{letter.account}"
    line = f"{letter.id}  {at}  {letter.workspace}  {where}  {len(letter.raw)} bytes  {letter.reason}"
    return line + "\n" + letter.raw.decode(errors="backslashreplace") if raw else line


async def replay(webhooks: Webhooks, letters: DeadLetters, chosen: Sequence[Letter]) -> Counter[str]:
    """Read letters again, oldest first, and remove each that succeeds as a whole; how many were `read` and `left`.

    Raises `LogUnavailable`: then nothing is known of the letter it came to, which stays and may be replayed again.
    """
    outcome: Counter[str] = Counter(read=0, left=0)
    for letter in chosen:
        reasons = await webhooks.read_again(letter)
        if reasons:
            print(f"{letter.id}  left  {'; '.join(reasons)}")
            outcome["left"] += 1
            continue
        await asyncio.to_thread(letters.remove, {letter.id})
        print(f"{letter.id}  read")
        outcome["read"] += 1
    return outcome


async def _replay_all(
    settings: ProcessSettings, social: SocialSettings, letters: DeadLetters, chosen: Sequence[Letter]
) -> int:
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(open_backends(settings, process_name("dead-letters")))
        client = await stack.enter_async_context(httpx.AsyncClient())
        webhooks = Webhooks(platforms_of(social, client), intake_of(backends), letters, social.largest_body)
        outcome = await replay(webhooks, letters, chosen)
    print(f"{outcome['read']} read and removed, {outcome['left']} left")
    return 1 if outcome["left"] else 0
