"""How fast a document takes the place of the last one on a NATS server."""

import msgspec

from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats.client import Client
from guardkit.nats.jetstream import call, publish
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import DOCUMENTS, ensure_streams, status_subject
from guardkit.progress.snapshot import decode

from ..nats_server import serving
from .bounds import DELETING, NATS_DOCUMENT
from .races import OURS, Row, compare, race, timed_awaits
from .setting import Run
from .writes import a_document

OLD, OLD_SUBJECT = "OLD", "old.TASK-1.status"
TIMES = 100


class Subject:
    """The subject of one task's documents, in a stream."""

    def __init__(self, client: Client, stream: str, subject: str, payload: bytes) -> None:
        self._client, self._stream, self._subject = client, stream, subject
        self._payload = payload
        self._last = 0

    async def publish(self) -> int:
        """Publish a document that is to be the next one; return the number of the one before."""
        number = await publish(
            self._client, self._stream, self._subject, self._payload, {}, last=self._last
        )
        assert number
        before, self._last = self._last, number
        return before

    async def replace(self) -> None:
        """Publish a document, then delete the one before."""
        if before := await self.publish():
            request = {"seq": before, "no_erase": True}
            done = await call(self._client, f"STREAM.MSG.DELETE.{OLD}", dict, request)
            assert done["success"]


async def measure_documents(run: Run) -> list[Row]:
    """Hold documents that are acknowledged one by one against such that are deleted by hand."""
    payload = msgspec.json.encode(decode(await a_document(run.tmpfs)))
    with serving(run.disk / "documents") as server:
        async with connected(find_settings(server.url), SYSTEM_CLOCK) as client:
            await ensure_streams(client)
            config = {"name": OLD, "subjects": ["old.>"], "storage": "file", "num_replicas": 1}
            await call(client, f"STREAM.CREATE.{OLD}", dict, config)
            ours = Subject(client, DOCUMENTS.name, status_subject("TASK-1"), payload)
            old = Subject(client, OLD, OLD_SUBJECT, payload)
            rounds = {
                OURS: timed_awaits(ours.publish, TIMES),
                DELETING: timed_awaits(old.replace, TIMES),
            }
            return compare(NATS_DOCUMENT, await race(rounds, run.pick(5, 50)))
