"""What is stored about an object beside its bytes (ADR-20)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from tidings.nats.jetstream.object_store.errors import InvalidObjectError, StoredInfoError

__all__ = ["HeaderValues", "ObjectInfo", "ObjectLink", "check_headers", "check_texts"]

HeaderValues: TypeAlias = Mapping[str, str | Sequence[str]]
"""Headers of an object: names with a value or several each."""


@dataclass(frozen=True)
class ObjectLink:
    """Where a link leads.

    Attributes:
        bucket: the object store.
        name: the object in it; empty where the link is to the store as a whole.
    """

    bucket: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """What is known of an object without reading it.

    Attributes:
        bucket, name: which.
        nuid: names the chunks; each put has its own.
        size: bytes.
        chunks: how many messages they are in.
        digest: ``SHA-256=`` and the hash of the bytes in URL-safe base64; empty for links.
        description, metadata: for whoever looks.
        headers: names with a list of values each.
        chunk_size: bytes of each chunk but the last; 0 where it is not known.
        link: where it leads, if it is a link.
        deleted: whether it says that the object was deleted.
        mtime: when it was put or changed last, by the clock of the server; None before it is stored.
        revision: its sequence in the bucket's stream; 0 before it is stored.
    """

    bucket: str
    name: str
    nuid: str = ""
    size: int = 0
    chunks: int = 0
    digest: str = ""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    chunk_size: int = 0
    link: ObjectLink | None = None
    deleted: bool = False
    mtime: datetime | None = None
    revision: int = 0

    def to_json(self) -> bytes:
        """As it is stored: without `mtime`, which is the time of the message."""
        options: dict[str, Any] = {}
        if self.link is not None:
            options["link"] = {"bucket": self.link.bucket} | (
                {"name": self.link.name} if self.link.name else {}
            )
        if self.chunk_size:
            options["max_chunk_size"] = self.chunk_size
        optional = {
            "description": self.description,
            "metadata": self.metadata,
            "headers": self.headers,
            "options": options,
            "digest": self.digest,
            "deleted": self.deleted,
        }
        fields = {
            "name": self.name,
            "bucket": self.bucket,
            "nuid": self.nuid,
            "size": self.size,
            "chunks": self.chunks,
            **{name: value for name, value in optional.items() if value},
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, data: bytes, revision: int, mtime: datetime | None) -> ObjectInfo:
        """What was stored. Raises StoredInfoError."""
        try:
            fields: Any = json.loads(data)
            options = fields.get("options") or {}
            link = options.get("link")
            return cls(
                bucket=str(fields["bucket"]),
                name=str(fields["name"]),
                nuid=str(fields.get("nuid") or ""),
                size=int(fields.get("size") or 0),
                chunks=int(fields.get("chunks") or 0),
                digest=str(fields.get("digest") or ""),
                description=str(fields.get("description") or ""),
                metadata=dict(fields.get("metadata") or {}),
                headers={name: list(values) for name, values in (fields.get("headers") or {}).items()},
                chunk_size=int(options.get("max_chunk_size") or 0),
                link=ObjectLink(str(link["bucket"]), str(link.get("name") or "")) if link else None,
                deleted=bool(fields.get("deleted")),
                mtime=mtime,
                revision=revision,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoredInfoError(
                f"message {revision} is no info of an object: {type(error).__name__}: {error}"
            ) from error


def check_headers(headers: HeaderValues | None) -> dict[str, list[str]]:
    """Headers as they are stored. Raises InvalidObjectError."""
    found: dict[str, list[str]] = {}
    for name, given in (headers or {}).items():
        values = [given] if isinstance(given, str) else list(given)
        if not isinstance(name, str) or not name or not all(isinstance(value, str) for value in values):
            raise InvalidObjectError(f"headers are text by text or texts, not {name!r}: {given!r}")
        found[name] = values
    return found


def check_texts(description: Any, metadata: Any) -> None:
    """Refuse a description or metadata that is no text. Raises InvalidObjectError."""
    if not isinstance(description, str):
        raise InvalidObjectError(f"description is text, not {description!r}")
    if not isinstance(metadata, Mapping) or not all(
        isinstance(each, str) for pair in metadata.items() for each in pair
    ):
        raise InvalidObjectError(f"metadata is text by text, not {metadata!r}")
