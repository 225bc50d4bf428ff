"""A client of iommud, the daemon that owns the IOMMU of a machine.

    import iommud

    with iommud.Client() as client:
        ioas = client.ioas.alloc().ioas
        device = client.device.bind("0000:01:00.0").device
        client.device.attach(device, pt=ioas)

Methods are those of the daemon, `client.SUBJECT.VERB` for `SUBJECT.VERB`; where Python has a word of its own, a `_`
follows it (`client.memory.import_`). Addresses and lengths are integers, data is bytes. What the daemon refuses raises
`Refused`, with `errno`, `reason`, `hint` and `data`.
"""

from . import types
from ._wire import Event
from .aio import AsyncClient
from .client import Client
from .errors import ConnectionLost, IommudError, NoReply, Refused, SessionLost

__version__ = types.VERSION
__all__ = [
    "AsyncClient",
    "Client",
    "ConnectionLost",
    "Event",
    "IommudError",
    "NoReply",
    "Refused",
    "SessionLost",
    "types",
]
