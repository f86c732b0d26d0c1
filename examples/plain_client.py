"""What any NATS client sees of builds: nats-py alone, without anything of guardkit.

Run:    python examples/plain_client.py, where NATS_URL, or else this machine, has a server
Prints:
    TASK-1: completed, turn 2 of 2, Coach Validation
    TASK-2: completed, turn 2 of 2, Coach Validation
"""

import asyncio
import json
import os

import nats
from nats.js.api import DeliverPolicy


async def main() -> None:
    client = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1"))
    documents = await client.jetstream().subscribe(  # the newest of each build, then each newer one
        "guardkit.builds.*.status",
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
    )
    lines: list[str] = []
    left = 1
    while left:
        message = await documents.next_msg()
        left = message.metadata.num_pending
        build = json.loads(message.data)
        turn = f"turn {build['turn']} of {build['turn_max']}"
        lines.append(f"{build['task_id']}: {build['status']}, {turn}, {build['phase']}")
    print("\n".join(sorted(lines)))
    await client.close()


asyncio.run(main())
