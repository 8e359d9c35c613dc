"""A proposer and reader of a journal, as small as the rule allows: what leaders and standbys have in common."""

from __future__ import annotations

from services.router.chain import Chain, Head, Proposal, build_proposal
from shared.log.port import JournalRecord, Log, Positions


class Replica:
    """Folds what it reads through the production rule and proposes on the head that it has folded."""

    def __init__(self, log: Log, chain: Chain, name: str, partition: int) -> None:
        self.log = log
        self.chain = chain
        self.name = name
        self.partition = partition
        self.entries: list[str] = []
        self._built = 0

    @classmethod
    async def start(cls, log: Log, name: str = "r1", partition: int = 0) -> Replica:
        return cls(log, Chain(await log.journal.identity(partition), partition), name, partition)

    @property
    def head(self) -> Head:
        return self.chain.head

    def build(self, head: Head | None = None) -> Proposal:
        """A proposal that nobody else can have built: its bytes name this replica and a number."""
        self._built += 1
        return build_proposal(
            head or self.head, at=self._built, by=f"{self.name}:{self._built}", positions=Positions(0, 0), decisions=()
        )

    async def send(self, proposal: Proposal) -> None:
        await self.log.journal.propose(
            self.partition, proposal.data, seq=proposal.seq, prev=proposal.prev, entry_hash=proposal.hash
        )

    async def propose(self) -> Proposal:
        proposal = self.build()
        await self.send(proposal)
        return proposal

    def fold(self, record: JournalRecord) -> None:
        entry_hash = self.chain.fold(record)
        if entry_hash is not None:
            self.entries.append(entry_hash)

    async def catch_up(self, *, limit: int = 100, wait_s: float = 0.0) -> Head:
        """Fold up to the end; with `wait_s`, wait for the first record."""
        while True:
            records = await self.log.journal.read(self.partition, self.chain.next_offset, limit=limit, wait_s=wait_s)
            for record in records:
                self.fold(record)
            if len(records) < limit:
                return self.head
            wait_s = 0.0
