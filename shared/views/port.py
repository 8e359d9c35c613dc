"""The views port: documents by (workspace, kind, id), and hints that one changed.

Views can be lost at any moment: the router writes them again from its state, and nothing is lost. A hint is only a hint
to re-read. The router writes documents after the entry that made them true was read back, so a reader never sees what
is not journaled.

Kinds and their documents (ids in brackets; every document carries `seq`, the entry that last changed it):

- `contact` [contact id]: the `Contact out` shape of `docs/api.md`, plus `thread`, `account`, `messages` (count).
- `messages` [contact id]: `{contact, messages: [{id, direction: customer|agent, ref, at, kind, author, channel,
  account, status, thread, thread_seq}]}`; texts lie in the content store under `ref`.
- `agent` [agent id]: profile, declared presence, `reachable`, `capacity`, `load`.
- `work` [agent id]: `{presence, reachable, capacity, load, offers, assignments, wrap_up}` as in `docs/api.md`; each
  offer and assignment carries a summary of its contact.
- `thread` [thread key]: what the customer may know: `{thread, contact, state, queue, agent_name, language,
  redirected_to, wait_range, next_seq, messages: [{seq, id, direction, ref, at, kind, status, source_key}]}`;
  `wait_range`: `{usually_under_s, nearly_always_under_s, since}` of the whole wait, or null.
- `delivery` [message id]: a reply, or an outbound message's attempt, that has no final status yet: `{message, contact,
  channel, account, thread, address, ref, agent, queued_at (ms), status}`; deleted when it has one, or when an attempt
  was given up. `contact` may be null and `agent` empty for attempts.
- `outbound` [outbound id]: the shape of `GET /v1/outbound/{id}` in `docs/api.md`.
- `queue` [name]: `{name, waiting, offered, assigned, oldest_enqueued_at, staffed, available, wait_ranges}`;
  `wait_ranges`: by kind of channel `{usually_under_s, nearly_always_under_s}` for whoever comes now, or null.
- `channel` [kind:account]: `{channel, kind, account, state, evidence, since, maintenance}`.
- `policy` [`current`]: `{version, policy}`.
- `key` [key id]: `{key_id, key_hash, role, agent, label}`.
- `answer` [command id]: `{command_id, seq, refused: {reason, detail, field} | null, subject, digest, note, actor}`.
- `workspace` [`self`]: `{name, created_at, sequence}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from shared.log.port import LogUnavailable


class ViewsUnavailable(LogUnavailable):
    """The views cannot be reached: nothing is known of any document. What is journaled stays true.

    Whoever answers requests treats it as a log that is away: try again. Only what goes on without views tells it apart.
    """


@dataclass(frozen=True, slots=True)
class Change:
    """One document to write (`data`) or to delete (`data` is None), as of journal entry `seq`."""

    workspace: str
    kind: str
    id: str
    seq: int
    data: Mapping[str, Any] | None


class Watch(Protocol):
    """Hints for one document, or for one kind of a workspace."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as something changed since the last call (or since the watch began); False after the time."""
        ...


class Views(Protocol):
    """Documents and hints. Documents handed out are shared: read them, never write on them.

    Whoever reads or watches may get `ViewsUnavailable`. Whoever publishes does not: publishing never waits for a store
    that is away. It may write a little later, in order; if what was handed to it can no longer be written, or what was
    written before is gone, `lost` says so, and the publisher writes everything anew.
    """

    async def begin(self, partition: int, epoch: str) -> int:
        """Become the publisher of a partition. Returns the newest entry whose documents are all written, 0 for none.

        `epoch` is the identity of the journal. Documents that were published under another one count as none.
        """
        ...

    async def publish(self, partition: int, seq: int | None, changes: Sequence[Change]) -> None:
        """Write the documents of entry `seq`, then hint. An older write never replaces a newer one.

        Without `seq`, the documents are a part of what is being written anew: `seq` of the partition stays what it is.
        """
        ...

    def lost(self, partition: int) -> bool:
        """Whether the publisher has to `clear` the partition and write everything anew."""
        ...

    async def clear(self, partition: int, workspaces: Sequence[str]) -> None:
        """Forget every document of these workspaces and the partition's `seq`; `lost` is False from now on.

        Readers see `seq` 0 until the next `publish` with one, which ends the writing anew.
        """
        ...

    async def flush(self) -> None:
        """Returns when everything published so far is written, or is known to be lost."""
        ...

    async def claim(self, name: str, owner: str, ttl_s: float) -> bool:
        """Whether `owner` now holds `name`, for `ttl_s` from now; whoever holds it may renew it.

        For work that should be done once among several processes, not for safety: a claim can be lost like any view.
        """
        ...

    async def get(self, workspace: str, kind: str, id: str) -> Mapping[str, Any] | None: ...

    async def list(
        self,
        workspace: str,
        kind: str,
        *,
        after: str = "",
        limit: int = 100,
        where: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Documents in order of id, those behind `after`, that satisfy `where`."""
        ...

    async def seq(self, partition: int) -> int:
        """The newest entry whose documents are all written."""
        ...

    async def wait_for(self, partition: int, seq: int, timeout_s: float) -> bool:
        """Whether `seq` was reached within the time: for a read that must not be older than an own write."""
        ...

    def watch(self, workspace: str, kind: str, id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """Hints from now on, for one document or (without `id`) for the whole kind."""
        ...
