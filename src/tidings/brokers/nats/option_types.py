"""Which values the options of a NATS source take, beside those that every source has."""

from collections.abc import Callable, Iterable
from typing import Any

from tidings.messaging.option_types import BOOL, INT, TEXT, OptionTypes, of

from .ways import KvWatch, ObjWatch, Pull, Push

__all__ = ["SOURCE_OPTIONS"]


def _of_jetstream(name: str) -> Callable[[Any], bool]:
    """Whether a value is of a class of JetStream, which is loaded only where there is one to look at."""

    def fits(value: Any) -> bool:
        from tidings.nats import jetstream

        return isinstance(value, getattr(jetstream, name))

    return fits


def _text_or(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) or fits(value)


def _watching(kind: type[KvWatch | ObjWatch], config: str) -> Callable[[Any], bool]:
    fits = _text_or(_of_jetstream(config))
    return lambda value: isinstance(value, str) or (isinstance(value, kind) and fits(value.bucket))


def _subjects(value: Any) -> bool:
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes)
        and all(isinstance(each, str) for each in value)
    )


SOURCE_OPTIONS: OptionTypes = {
    "queue": TEXT,
    "max_msgs": INT,
    "pending_msgs_limit": INT,
    "pending_bytes_limit": INT,
    "stream": ("the name of a stream or a StreamConfig", _text_or(_of_jetstream("StreamConfig"))),
    "durable": TEXT,
    "pull": ("a Pull", of(Pull)),
    "push": ("a Push", of(Push)),
    "ordered": BOOL,
    "filter_subjects": ("a list of subjects", _subjects),
    "config": ("a ConsumerConfig", _of_jetstream("ConsumerConfig")),
    "kv_watch": ("the name of a bucket or a KvWatch", _watching(KvWatch, "KeyValueConfig")),
    "obj_watch": ("the name of a bucket or an ObjWatch", _watching(ObjWatch, "ObjectStoreConfig")),
}
