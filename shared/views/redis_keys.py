"""Where in Redis what lies: the keys of documents, of a partition's facts, of claims, and the channels of hints.

The braces are hash tags: a Redis Cluster keeps everything of one workspace together, and everything of one partition,
so that each script touches one slot. Workspaces come from outside and are escaped.
"""

from __future__ import annotations

from shared.redis_link import RedisUrl, escaped


class Keys:
    """All keys and channels under one prefix."""

    def __init__(self, url: RedisUrl) -> None:
        self._prefix = url.prefix
        # Channels know no databases.
        self._channels = f"{url.prefix}:{url.db}"

    def documents(self, workspace: str, kind: str) -> str:
        """Hash: id -> seq, a space, the document as JSON."""
        return f"{self._prefix}:{{w:{escaped(workspace)}}}:d:{escaped(kind)}"

    def ids(self, workspace: str, kind: str) -> str:
        """Sorted set of the ids there are, all with score 0: in order of their bytes."""
        return f"{self._prefix}:{{w:{escaped(workspace)}}}:i:{escaped(kind)}"

    def deletions(self, workspace: str, kind: str) -> str:
        """Sorted set: ids that were deleted, by the seq that did it."""
        return f"{self._prefix}:{{w:{escaped(workspace)}}}:x:{escaped(kind)}"

    def of_kind(self, workspace: str, kind: str) -> list[str]:
        """The three of them, in this order."""
        return [self.documents(workspace, kind), self.ids(workspace, kind), self.deletions(workspace, kind)]

    def kinds(self, workspace: str) -> str:
        """Set of the kinds that were ever written."""
        return f"{self._prefix}:{{w:{escaped(workspace)}}}:kinds"

    def generation(self, workspace: str) -> str:
        """The generation that wrote here last; an older one may not any more."""
        return f"{self._prefix}:{{w:{escaped(workspace)}}}:generation"

    def partition(self, partition: int) -> str:
        """Hash: epoch, seq, generation, number (of the last hint)."""
        return f"{self._prefix}:{{p:{partition}}}:state"

    def workspaces(self, partition: int) -> str:
        """Set of the workspaces that were written, for what has to be deleted when nobody remembers them."""
        return f"{self._prefix}:{{p:{partition}}}:workspaces"

    def claim(self, name: str) -> str:
        return f"{self._prefix}:{{c:{escaped(name)}}}:claim"

    def hints(self, partition: int) -> str:
        """Channel of a partition's hints."""
        return f"{self._channels}:{{p:{partition}}}:hints"

    @property
    def all_hints(self) -> str:
        """Pattern for the hints of every partition."""
        return f"{self._channels}:{{p:*}}:hints"

    def partition_of(self, channel: str) -> int:
        """Whose hints a channel carries."""
        return int(channel.removeprefix(f"{self._channels}:{{p:").removesuffix("}:hints"))

    def beats(self, token: str) -> str:
        """Channel on which one process hears itself."""
        return f"{self._channels}:beats:{token}"
