"""Builds of many machines, over NATS JetStream: `guardkit[nats]`."""

from importlib import import_module
from importlib.util import find_spec

from guardkit.errors import NatsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.nats.builds import NatsBuilds
    from guardkit.nats.pipeline import PipelineSink
    from guardkit.nats.relay import Relay
    from guardkit.nats.sink import NatsSink

__all__ = ["NatsBuilds", "NatsSink", "PipelineSink", "Relay"]

_HOMES = {"NatsBuilds": "builds", "NatsSink": "sink", "PipelineSink": "pipeline", "Relay": "relay"}

if find_spec("nats") is None:
    raise NatsError("NATS takes an extra of guardkit: pip install 'guardkit[nats]'")


def __getattr__(name: str) -> object:
    """Load a public name on first use, as that of `nats` takes a third of a second."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
