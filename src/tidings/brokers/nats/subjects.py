"""Subjects with named parts, which brokers with dotted addresses share."""

from tidings.messaging.subjects import SubjectPattern

__all__ = ["SubjectPattern"]
