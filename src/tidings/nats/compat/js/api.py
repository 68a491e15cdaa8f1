"""`nats.js.api`: the types of nats-py's JetStream API."""

from __future__ import annotations

from tidings.nats.compat.js.base import Base as Base
from tidings.nats.compat.js.constants import *  # noqa: F403
from tidings.nats.compat.js.consumers import *  # noqa: F403
from tidings.nats.compat.js.stores import *  # noqa: F403
from tidings.nats.compat.js.streams import *  # noqa: F403
