# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=False
"""The compiled twin of `message`, `parser`, `commands` and `headers`: the same names, the same answers.

Those files say what happens and why; here stands only what is peculiar to C. Bytes from outside are read
through pointers, so each loop carries its bound, and memory that a caller can see (the windows of
`get_buffer`) belongs to a Python object which the window keeps alive.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp, memcpy, memmove

from tidings.nats.errors import BadHeaderError, BadSubjectError, MaxPayloadError, OutboundBufferLimitError, ProtocolError
from tidings.nats.errors import Error as _Error
from tidings.nats.wire import commands as _commands
from tidings.nats.wire import headers as _headers
from tidings.nats.wire import message as _message
from tidings.nats.wire import parser as _parser
from tidings.nats.wire import subjects as _subjects

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef object Headers = _headers.Headers
cdef Py_ssize_t READ_SIZE = _parser.READ_SIZE
cdef int DROP_OLD = _message.DROP_OLD, BLOCK = _message.BLOCK, ERROR = _message.ERROR


# Subjects ---------------------------------------------------------------------------------------------


cdef bint is_literal(const unsigned char* p, Py_ssize_t n) noexcept:
    """Whether these bytes are a subject that can be published to."""
    cdef Py_ssize_t i, token = 0
    cdef unsigned char c
    if n == 0:
        return False
    for i in range(n):
        c = p[i]
        if c <= 32 or c == 127:
            return False
        if c == 46:  # a dot
            if i == token:
                return False
            if i - token == 1 and (p[token] == 42 or p[token] == 62):  # the token is * or >
                return False
            token = i + 1
    if token == n:
        return False
    return not (n - token == 1 and (p[token] == 42 or p[token] == 62))


cdef inline object utf8(object text, const char** p, Py_ssize_t* n):
    """Point at the UTF-8 of `text`, or at a line end if it has none; what is returned keeps it alive."""
    cdef bytes encoded
    try:
        p[0] = PyUnicode_AsUTF8AndSize(text, n)
        return text
    except UnicodeEncodeError:
        try:
            encoded = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            encoded = b"\n"  # has no bytes: stand for it with what is refused everywhere
    p[0] = PyBytes_AS_STRING(encoded)
    n[0] = PyBytes_GET_SIZE(encoded)
    return encoded


def check_subject(subject, what="subject"):
    """Refuse a subject that cannot be published to. See `subjects.check_subject`."""
    cdef const char* p = NULL
    cdef Py_ssize_t n = 0
    if PyUnicode_Check(subject):
        keep = utf8(subject, &p, &n)
        if is_literal(<const unsigned char*>p, n):
            return
    _subjects.check_subject(subject, what)


# Headers ----------------------------------------------------------------------------------------------


cdef inline str text_of(const char* p, Py_ssize_t n):
    return PyUnicode_DecodeUTF8(p, n, "surrogateescape")


cdef bint is_header_name(const unsigned char* p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if p[i] <= 32 or p[i] >= 127 or p[i] == 58:
            return False
    return n > 0


cdef list flat_pairs(headers):
    """`headers.header_pairs`, with the usual case first: a dict of str."""
    cdef list pairs = []
    if type(headers) is not dict:
        return _headers.header_pairs(headers)
    for name, value in (<dict>headers).items():
        if not PyUnicode_Check(value):
            return _headers.header_pairs(headers)
        pairs.append((name, value))
    return pairs


def encode_headers(headers):
    """The header block for `headers`. See `headers.encode_headers`."""
    cdef const char* name_p = NULL
    cdef const char* value_p = NULL
    cdef Py_ssize_t name_n = 0, value_n = 0, size = 12 + 2
    cdef list pairs = flat_pairs(headers)
    cdef list kept = []
    cdef char* out
    for name, value in pairs:
        if not PyUnicode_Check(name) or not PyUnicode_Check(value):
            return _headers.encode_headers(pairs)  # which says what is wrong
        name_keep = utf8(name, &name_p, &name_n)
        value_keep = utf8(value, &value_p, &value_n)
        if (
            not is_header_name(<const unsigned char*>name_p, name_n)
            or memchr(value_p, 13, value_n) != NULL
            or memchr(value_p, 10, value_n) != NULL
        ):
            return _headers.encode_headers(pairs)
        kept.append((name_keep, value_keep))
        size += name_n + 2 + value_n + 2
    size -= 2  # the version line is 10 bytes, the empty line 2
    block = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(block)
    memcpy(out, b"NATS/1.0\r\n", 10)
    out += 10
    for name, value in kept:
        out = put_text(out, name)
        memcpy(out, b": ", 2)
        out = put_text(out + 2, value)
        memcpy(out, b"\r\n", 2)
        out += 2
    memcpy(out, b"\r\n", 2)
    return block


cdef char* put_text(char* out, object text) except NULL:
    cdef Py_ssize_t n = 0
    cdef const char* p
    if PyBytes_CheckExact(text):
        p = PyBytes_AS_STRING(text)
        n = PyBytes_GET_SIZE(text)
    else:
        p = PyUnicode_AsUTF8AndSize(text, &n)
    memcpy(out, p, n)
    return out + n


def parse_headers(bytes block not None):
    """Split a header block. See `headers.parse_headers`."""
    cdef const char* p = PyBytes_AS_STRING(block)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(block)
    cdef const char* line
    cdef const char* end
    cdef const char* colon
    cdef const char* value
    cdef const char* last
    cdef list pairs = []
    # A plain version line is handled here, all else (a status, or an error) by the reference.
    if n < 12 or memcmp(p, b"NATS/1.0\r\n", 10) != 0 or memcmp(p + n - 4, b"\r\n\r\n", 4) != 0:
        return _headers.parse_headers(block)
    line = p + 10
    last = p + n - 2
    while line < last:
        end = <const char*>memchr(line, 13, last - line)
        while end != NULL and end[1] != 10:
            end = <const char*>memchr(end + 1, 13, last - end - 1)
        colon = <const char*>memchr(line, 58, end - line) if end != NULL else NULL
        if colon == NULL or colon == line or colon[-1] == 32 or colon[-1] == 9:
            return _headers.parse_headers(block)
        value = colon + 1
        while value < end and (value[0] == 32 or value[0] == 9):
            value += 1
        name = text_of(line, colon - line)
        line = end + 2
        while end > value and (end[-1] == 32 or end[-1] == 9):
            end -= 1
        pairs.append((name, text_of(value, end - value)))
    return 0, "", pairs


# Messages and routes ----------------------------------------------------------------------------------


@cython.no_gc
@cython.freelist(256)
cdef class Msg:
    """One delivered message. See `message.Msg`.

    Not tracked by the garbage collector, which would walk through every batch: nothing that a message
    holds refers back to it but the queue of its route, and that is emptied when the client closes.
    """

    cdef public object subject
    cdef public object reply
    cdef public object data
    cdef public object owner
    cdef public Py_ssize_t sid
    cdef bytes _block
    cdef object _headers
    cdef object _status

    def __init__(self, subject="", reply="", data=b"", *, bytes header_block=None, Py_ssize_t sid=0, owner=None):
        self.subject = subject
        self.reply = reply
        self.data = data
        self.sid = sid
        self.owner = owner
        self._block = header_block

    @property
    def headers(self):
        """The headers; empty when there are none."""
        if self._headers is None:
            self._parse()
        return self._headers

    @property
    def has_headers(self):
        """Whether a header block came with the message; costs no parsing."""
        return self._block is not None

    @property
    def status(self):
        """The status code of the header block, 0 when it has none."""
        if self._block is None:
            return 0
        if self._headers is None:
            self._parse()
        return self._status[0]

    @property
    def status_text(self):
        """The description beside the status code."""
        if self._block is None:
            return ""
        if self._headers is None:
            self._parse()
        return self._status[1]

    def respond(self, data=b"", *, headers=None):
        """Publish `data` to the reply subject, through the owner; to be awaited."""
        return _message.answer(self, data, headers)

    cdef int _parse(self) except -1:
        if self._block is None:
            self._headers = Headers()
        else:
            status, text, pairs = parse_headers(self._block)
            self._status = (status, text)
            self._headers = Headers(pairs)
        return 0

    def __repr__(self):
        reply = f" reply={self.reply!r}" if self.reply else ""
        return f"<{type(self).__name__} {self.subject!r}{reply} {len(self.data)} bytes>"


cdef class Route:
    """Where the messages of one subscription id go. See `message.Route`.

    The queue is a ring of pointers, whose size is a power of two; it owns one reference to each message.
    """

    cdef readonly Py_ssize_t sid
    cdef public object owner
    cdef public Py_ssize_t max_pending_msgs
    cdef public Py_ssize_t max_pending_bytes
    cdef public long long max_msgs
    cdef public int policy
    cdef readonly Py_ssize_t highest_pending_msgs
    cdef readonly Py_ssize_t pending_msgs
    cdef readonly Py_ssize_t pending_bytes
    cdef public long long received
    cdef public long long dropped
    cdef public bint touched
    cdef PyObject** _ring
    cdef Py_ssize_t _ring_size
    cdef Py_ssize_t _head
    cdef bytes _subject_bytes  # of the message before this one: most come on one subject
    cdef object _subject_text

    def __init__(self, Py_ssize_t sid, owner=None, *, Py_ssize_t max_pending_msgs=0, Py_ssize_t max_pending_bytes=0, long long max_msgs=0, int policy=0):
        self.sid = sid
        self.owner = owner
        self.max_pending_msgs = max_pending_msgs
        self.max_pending_bytes = max_pending_bytes
        self.max_msgs = max_msgs
        self.policy = policy
        self._subject_bytes = b""
        self._subject_text = ""

    def __dealloc__(self):
        self._empty()
        PyMem_Free(self._ring)

    def put(self, Msg message not None):
        """Append `message`, or do at a limit what the policy says."""
        self._put(message, len(message.data))

    cdef int _put(self, Msg message, Py_ssize_t size) except -1:
        if 0 < self.max_msgs <= self.received:
            return 0
        self.received += 1
        if self._is_over(size) and not self._makes_room(size):
            self.dropped += 1
            return 0
        if self.pending_msgs == self._ring_size:
            self._widen()
        Py_INCREF(message)
        self._ring[(self._head + self.pending_msgs) & (self._ring_size - 1)] = <PyObject*>message
        self.pending_msgs += 1
        self.pending_bytes += size
        if self.pending_msgs > self.highest_pending_msgs:
            self.highest_pending_msgs = self.pending_msgs
        return 0

    cdef inline bint _is_over(self, Py_ssize_t size) noexcept:
        return (0 < self.max_pending_msgs <= self.pending_msgs) or (
            0 < self.max_pending_bytes < self.pending_bytes + size
        )

    cdef int _makes_room(self, Py_ssize_t size) except -1:
        if self.policy == DROP_OLD:
            if 0 < self.max_pending_bytes < size:
                return False
            while self._is_over(size):
                self.pop()
                self.dropped += 1
            return True
        if self.policy == ERROR:
            self.max_msgs = self.received
        return self.policy == BLOCK

    cdef int _widen(self) except -1:
        cdef Py_ssize_t size = 2 * self._ring_size if self._ring_size else 8
        cdef Py_ssize_t first = self._ring_size - self._head  # up to the end of the old ring
        cdef PyObject** ring = <PyObject**>PyMem_Malloc(size * sizeof(PyObject*))
        if ring == NULL:
            raise MemoryError
        if self._ring_size:
            memcpy(ring, self._ring + self._head, first * sizeof(PyObject*))
            memcpy(ring + first, self._ring, self._head * sizeof(PyObject*))
        PyMem_Free(self._ring)
        self._ring = ring
        self._ring_size = size
        self._head = 0
        return 0

    def wake(self):
        """Called by the reader after a batch that put messages here; a subscription overrides it."""

    def pop(self):
        """Take the oldest message; None when there is none."""
        cdef Msg message
        if self.pending_msgs == 0:
            return None
        message = <Msg>self._ring[self._head]
        self._head = (self._head + 1) & (self._ring_size - 1)
        self.pending_msgs -= 1
        self.pending_bytes -= len(message.data)
        if self.pending_msgs == 0 and self._ring_size > 8192:
            PyMem_Free(self._ring)  # a backlog passed; give its memory back
            self._ring = NULL
            self._ring_size = self._head = 0
        Py_DECREF(message)  # the ring's; ours remains
        return message

    def clear(self):
        """Forget what was not taken; returns how many messages that were."""
        cdef Py_ssize_t count = self.pending_msgs
        self._empty()
        return count

    cdef void _empty(self) noexcept:
        cdef PyObject* message
        while self.pending_msgs:
            message = self._ring[self._head]
            self._head = (self._head + 1) & (self._ring_size - 1)
            self.pending_msgs -= 1
            Py_DECREF(<object>message)
        self.pending_bytes = 0

    cdef inline object _subject(self, const char* p, Py_ssize_t n):
        if n != PyBytes_GET_SIZE(self._subject_bytes) or memcmp(p, PyBytes_AS_STRING(self._subject_bytes), n) != 0:
            self._subject_bytes = PyBytes_FromStringAndSize(p, n)
            self._subject_text = text_of(p, n)
        return self._subject_text


# The parser -------------------------------------------------------------------------------------------


@cython.final
cdef class _Window:
    """A writable view of memory that `memory` owns; as long as somebody sees it, it stays."""

    cdef bytes memory
    cdef char* start
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.size, 0, flags)


cdef inline memoryview window(bytes memory, Py_ssize_t start, Py_ssize_t end):
    cdef _Window seen = _Window.__new__(_Window)
    seen.memory = memory
    seen.start = PyBytes_AS_STRING(memory) + start
    seen.size = end - start
    return memoryview(seen)


cdef inline bint is_space(char c) noexcept:
    return c == 32 or c == 9


cdef inline Py_ssize_t number(const char* p, Py_ssize_t n) noexcept:
    """The decimal number in these bytes, or -1. Nine digits hold every legal size."""
    cdef Py_ssize_t value = 0, i
    if n < 1 or n > 9:
        return -1
    for i in range(n):
        if p[i] < 48 or p[i] > 57:
            return -1
        value = value * 10 + (p[i] - 48)
    return value


cdef class Parser:
    """Turns what the server sends into messages and events. See `parser.Parser`.

    A message that is not whole stays in the buffer from its first byte, `_whole` saying how long it will
    be. One that is longer than the buffer gets memory of its own, which the reader then fills directly.
    """

    cdef public dict routes
    cdef public long long unrouted
    cdef readonly long long messages
    cdef readonly long long message_bytes
    cdef Py_ssize_t _max_control_line
    cdef Py_ssize_t _max_payload
    cdef Py_ssize_t _max_headers
    cdef bytes _memory
    cdef char* _buffer
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _start
    cdef Py_ssize_t _end
    cdef Py_ssize_t _scanned
    cdef Py_ssize_t _whole
    cdef list _touched
    cdef object _error
    # A long message: its fields, its payload as far as it came, and two bytes for CRLF behind it.
    cdef bint _is_long
    cdef bytes _long_payload
    cdef Msg _long_message
    cdef Py_ssize_t _long_size
    cdef Py_ssize_t _long_filled
    # What the last MSG or HMSG line said.
    cdef const char* _subject
    cdef Py_ssize_t _subject_size
    cdef const char* _reply
    cdef Py_ssize_t _reply_size
    cdef Py_ssize_t _sid
    cdef Py_ssize_t _header_size
    cdef Py_ssize_t _size

    def __init__(self, *, max_control_line=None, max_payload=None, max_headers=None):
        self.routes = {}
        self._max_control_line = _parser.MAX_CONTROL_LINE if max_control_line is None else max_control_line
        self._max_payload = _parser.MAX_PAYLOAD if max_payload is None else max_payload
        self._max_headers = _parser.MAX_HEADERS if max_headers is None else max_headers
        self._touched = []
        self._own(READ_SIZE)

    cdef int _own(self, Py_ssize_t capacity) except -1:
        """Move what is not parsed to the front of new memory."""
        cdef bytes memory = PyBytes_FromStringAndSize(NULL, capacity)
        cdef Py_ssize_t size = self._end - self._start
        if size:
            memcpy(PyBytes_AS_STRING(memory), self._buffer + self._start, size)
        self._scanned -= self._start
        self._start = 0
        self._end = size
        self._memory = memory
        self._buffer = PyBytes_AS_STRING(memory)
        self._capacity = capacity
        return 0

    def get_buffer(self, sizehint=-1):
        """Where the next bytes go; never empty."""
        cdef Py_ssize_t held, room
        if self._is_long:
            if self._long_filled < self._long_size:
                return window(self._long_payload, self._long_filled, self._long_size)
        if self._start == self._end:
            self._start = self._end = self._scanned = 0
            if self._capacity > READ_SIZE:
                self._own(READ_SIZE)
        held = self._end - self._start
        room = self._capacity - self._end
        if self._whole > held + room or room < (READ_SIZE >> 2):
            if held + (READ_SIZE >> 2) <= self._capacity and self._whole <= self._capacity:
                if self._start:
                    memmove(self._buffer, self._buffer + self._start, held)
                    self._scanned -= self._start
                    self._start = 0
                    self._end = held
            else:
                self._own(max(2 * held, self._whole, READ_SIZE))
        return window(self._memory, self._end, self._capacity)

    def buffer_updated(self, Py_ssize_t size):
        """Parse after `size` bytes were written into the last buffer; returns the control events."""
        cdef list events = []
        if self._error is not None:
            raise ProtocolError(self._error)
        if self._is_long and self._long_filled < self._long_size:
            if size < 0 or size > self._long_size - self._long_filled:
                raise ValueError("more bytes than the buffer holds")
            self._long_filled += size
            return events
        if size < 0 or size > self._capacity - self._end:
            raise ValueError("more bytes than the buffer holds")
        self._end += size
        try:
            while self._step(events):
                pass
        except ProtocolError as error:
            self._error = str(error)
            raise
        return events

    def feed(self, data):
        """Parse bytes that are already at hand."""
        cdef list events = []
        view = memoryview(data).cast("B")
        while len(view):
            target = self.get_buffer()
            size = min(len(target), len(view))
            target[:size] = view[:size]
            target.release()
            view = view[size:]
            events += self.buffer_updated(size)
        return events

    def take_touched(self):
        """The routes that got messages, or dropped some, since the last call."""
        cdef list touched = self._touched
        if touched:
            self._touched = []
            for route in touched:
                (<Route>route).touched = False
        return touched

    cdef bint _step(self, list events) except -1:
        """Parse one item; False when more bytes are needed."""
        cdef Py_ssize_t held = self._end - self._start
        cdef const char* line
        cdef const char* at
        cdef Py_ssize_t line_size
        cdef int kind
        if self._is_long:
            return self._finish_long(held)
        if held < self._whole or held == 0:
            return False
        line = self._buffer + self._start
        if self._scanned < self._start:
            self._scanned = self._start
        at = <const char*>memchr(self._buffer + self._scanned, 10, self._end - self._scanned)
        if (at - line if at != NULL else held) > self._max_control_line:
            raise ProtocolError(f"a protocol line exceeds {self._max_control_line} bytes")
        if at == NULL:
            self._scanned = self._end
            return False
        if at == line or at[-1] != 13:
            raise ProtocolError("a protocol line ends with CRLF, this one with LF alone")
        line_size = at - 1 - line
        kind = message_kind(line, line_size)
        if kind == 0:
            self._start += line_size + 2
            events.append(control_event(line, line_size))
            return True
        self._announce(line, line_size, kind)
        return self._message(line_size + 2, held)

    cdef int _announce(self, const char* line, Py_ssize_t line_size, int kind) except -1:
        """Read ``MSG subject sid [reply] size`` or ``HMSG subject sid [reply] header-size size``."""
        cdef const char* p = line + kind + 2  # 3 or 4 letters
        cdef const char* end = line + line_size
        cdef const char* words[6]
        cdef Py_ssize_t sizes[6]
        cdef int count = 0
        while p < end:
            while p < end and is_space(p[0]):
                p += 1
            if p == end:
                break
            if count == 6:
                count += 1
                break
            words[count] = p
            while p < end and not is_space(p[0]):
                p += 1
            sizes[count] = p - words[count]
            count += 1
        if count < 2 + kind or count > 3 + kind:
            raise ProtocolError(f"wrong number of arguments: {line[:min(line_size, 80)]!r}")
        self._subject = words[0]
        self._subject_size = sizes[0]
        self._sid = number(words[1], sizes[1])
        self._size = number(words[count - 1], sizes[count - 1])
        self._header_size = number(words[count - 2], sizes[count - 2]) if kind == 2 else 0
        self._reply = words[2]
        self._reply_size = sizes[2] if count == 3 + kind else 0
        if self._sid < 0 or self._size < 0 or self._header_size < 0:
            raise ProtocolError(f"not a number in {line[:min(line_size, 80)]!r}")
        if self._size > self._max_payload:
            raise ProtocolError(f"a message of {self._size} bytes exceeds the limit of {self._max_payload}")
        if self._header_size > self._size or self._header_size > self._max_headers:
            raise ProtocolError(f"a header block of {self._header_size} bytes: {line[:min(line_size, 80)]!r}")
        if kind == 1:
            self._header_size = -1
        return 0

    cdef bint _message(self, Py_ssize_t line_size, Py_ssize_t held) except -1:
        """Take the message behind a line of `line_size` bytes, CRLF counted, if it is whole."""
        cdef const char* body = self._buffer + self._start + line_size
        cdef Py_ssize_t header_size = self._header_size if self._header_size > 0 else 0
        cdef Route route
        cdef Msg message
        if held < line_size + self._size + 2:
            if line_size + self._size + 2 > READ_SIZE and held >= line_size + header_size:
                self._begin_long(body, held - line_size, header_size)
            else:
                # The header block of a long message is awaited in the buffer, then it goes the long way.
                self._whole = line_size + (header_size if line_size + self._size + 2 > READ_SIZE else self._size + 2)
            return False
        self._whole = 0
        if body[self._size] != 13 or body[self._size + 1] != 10:
            raise ProtocolError(f"the payload of {self._size} bytes is not followed by CRLF")
        found = self.routes.get(self._sid)
        if found is None:
            self.unrouted += 1
        else:
            route = <Route?>found
            message = self._new_message(route, body)
            message.data = PyBytes_FromStringAndSize(body + header_size, self._size - header_size)
            self._deliver(route, message, self._size - header_size)
        self._start += line_size + self._size + 2
        self.messages += 1
        self.message_bytes += self._size
        return True

    cdef Msg _new_message(self, Route route, const char* body):
        """A message without its payload; without a route, its owner is not known yet."""
        cdef Msg message = Msg.__new__(Msg)
        if route is None:
            message.subject = text_of(self._subject, self._subject_size)
        else:
            message.subject = route._subject(self._subject, self._subject_size)
            message.owner = route.owner
        message.reply = text_of(self._reply, self._reply_size) if self._reply_size else ""
        message.sid = self._sid
        if self._header_size >= 0:
            message._block = PyBytes_FromStringAndSize(body, self._header_size)
        return message

    cdef int _deliver(self, Route route, Msg message, Py_ssize_t size) except -1:
        route._put(message, size)
        if not route.touched:
            route.touched = True
            self._touched.append(route)
        return 0

    cdef int _begin_long(self, const char* body, Py_ssize_t held, Py_ssize_t header_size) except -1:
        """Give the payload memory of its own, with what came of it; `held` bytes stand at `body`."""
        self._long_size = self._size - header_size
        self._long_filled = min(held - header_size, self._long_size)
        self._long_payload = PyBytes_FromStringAndSize(NULL, self._long_size)
        memcpy(PyBytes_AS_STRING(self._long_payload), body + header_size, self._long_filled)
        self._long_message = self._new_message(None, body)
        self._is_long = True
        self._whole = 0
        # What stands behind the payload can only be the first byte of its CRLF.
        self._start = (body - self._buffer) + header_size + self._long_filled
        self._scanned = self._start
        return 0

    cdef bint _finish_long(self, Py_ssize_t held) except -1:
        cdef const char* tail = self._buffer + self._start
        if self._long_filled < self._long_size or held < 2:
            return False
        if tail[0] != 13 or tail[1] != 10:
            raise ProtocolError(f"the payload of {self._size} bytes is not followed by CRLF")
        self._start += 2
        found = self.routes.get(self._sid)  # only now: the subscription may have ended meanwhile
        if found is None:
            self.unrouted += 1
        else:
            self._long_message.owner = (<Route?>found).owner
            self._long_message.data = self._long_payload
            self._deliver(<Route>found, self._long_message, self._long_size)
        self.messages += 1
        self.message_bytes += self._size
        self._is_long = False
        self._long_payload = None
        self._long_message = None
        return True


cdef inline int message_kind(const char* line, Py_ssize_t size) noexcept:
    """1 for a MSG line, 2 for HMSG, 0 for any other. Letters in any case: bit 6 off is upper case."""
    if size >= 3 and (line[0] & 0xDF) == 77 and (line[1] & 0xDF) == 83 and (line[2] & 0xDF) == 71:
        return 1 if size == 3 or is_space(line[3]) else 0
    if (
        size >= 4 and (line[0] & 0xDF) == 72 and (line[1] & 0xDF) == 77
        and (line[2] & 0xDF) == 83 and (line[3] & 0xDF) == 71
    ):
        return 2 if size == 4 or is_space(line[4]) else 0
    return 0


cdef object control_event(const char* line, Py_ssize_t size):
    return _parser.control_event(PyBytes_FromStringAndSize(line, size))


# The encoder ------------------------------------------------------------------------------------------


cdef class Encoder:
    """Gathers commands to be written together. See `commands.Encoder`."""

    cdef public Py_ssize_t max_payload
    cdef public bint headers_supported
    cdef public Py_ssize_t max_pending
    cdef public object refusal
    cdef readonly long long messages
    cdef readonly long long message_bytes
    cdef object _on_first
    cdef Py_ssize_t _max_control_line
    cdef char* _out
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef list _control  # (from, to) of what is not a publish

    def __cinit__(self):
        self._out = NULL

    def __init__(self, on_first=None, *, Py_ssize_t max_payload=1024 * 1024, Py_ssize_t max_control_line=4096):
        self.max_payload = max_payload
        self.headers_supported = True
        self._on_first = on_first
        self._max_control_line = max_control_line
        self._control = []

    def __dealloc__(self):
        PyMem_Free(self._out)

    def __len__(self):
        return self._size

    cdef int _reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity = self._size + more
        cdef char* larger
        if capacity > self._capacity:
            capacity = max(capacity + (capacity >> 1), 4096)
            larger = <char*>PyMem_Realloc(self._out, capacity)
            if larger == NULL:
                raise MemoryError
            self._out = larger
            self._capacity = capacity
        return 0

    def publish(self, subject, payload=b"", reply="", headers=None):
        """Gather ``PUB``, or ``HPUB`` with headers; returns the bytes now gathered."""
        cdef const char* subject_p = NULL
        cdef const char* reply_p = NULL
        cdef Py_ssize_t subject_n = 0, reply_n = 0, size
        cdef bytes block = None
        cdef Py_buffer view
        if self.refusal is not None:
            raise self.refusal()
        if not PyUnicode_Check(subject):
            _subjects.check_subject(subject)
        subject_keep = utf8(subject, &subject_p, &subject_n)
        if not is_literal(<const unsigned char*>subject_p, subject_n):
            _subjects.check_subject(subject)
        reply_keep = None
        if reply:
            if not PyUnicode_Check(reply):
                _subjects.check_subject(reply, "reply subject")
            reply_keep = utf8(reply, &reply_p, &reply_n)
            if not is_literal(<const unsigned char*>reply_p, reply_n):
                _subjects.check_subject(reply, "reply subject")
        if headers:
            if not self.headers_supported:
                raise _Error("the server does not take headers (INFO headers:false)")
            block = encode_headers(headers)
        if PyBytes_CheckExact(payload):
            return self._publish(
                subject_p, subject_n, reply_p, reply_n, block, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
            )
        data = _commands.as_bytes(payload)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._publish(
                subject_p, subject_n, reply_p, reply_n, block, <const char*>view.buf, view.len
            )
        finally:
            PyBuffer_Release(&view)

    cdef object _publish(
        self,
        const char* subject, Py_ssize_t subject_n,
        const char* reply, Py_ssize_t reply_n,
        bytes block,
        const char* payload, Py_ssize_t payload_n,
    ):
        cdef Py_ssize_t block_n = PyBytes_GET_SIZE(block) if block is not None else 0
        cdef Py_ssize_t size = block_n + payload_n, line_n, gathered, before = self._size
        cdef char* out
        cdef char* begin
        if size > self.max_payload:
            raise MaxPayloadError(
                f"headers and payload are {size} bytes, the server accepts {self.max_payload} (max_payload)"
            )
        # "HPUB ", two spaces, two numbers of at most 20 digits and a space, and CRLF twice.
        self._reserve(subject_n + reply_n + size + 64)
        begin = out = self._out + before
        if block_n:
            memcpy(out, b"HPUB ", 5)
            out += 5
        else:
            memcpy(out, b"PUB ", 4)
            out += 4
        memcpy(out, subject, subject_n)
        out += subject_n
        out[0] = 32
        out += 1
        if reply_n:
            memcpy(out, reply, reply_n)
            out += reply_n
            out[0] = 32
            out += 1
        if block_n:
            out = put_number(out, block_n)
            out[0] = 32
            out += 1
        out = put_number(out, size)
        line_n = out - begin
        if line_n > self._max_control_line:
            raise BadSubjectError(
                f"subject and reply make a line of {line_n} bytes, the server accepts {self._max_control_line}"
            )
        memcpy(out, b"\r\n", 2)
        out += 2
        if block_n:
            memcpy(out, PyBytes_AS_STRING(block), block_n)
            out += block_n
        memcpy(out, payload, payload_n)
        out += payload_n
        memcpy(out, b"\r\n", 2)
        out += 2
        gathered = out - self._out
        if 0 < self.max_pending < gathered:
            raise OutboundBufferLimitError(
                f"{before} bytes wait for the connection to come back, the limit is {self.max_pending}"
            )
        self._size = gathered
        self.messages += 1
        self.message_bytes += size
        if before == 0 and self._on_first is not None:
            self._on_first()
        return self._size

    cdef object _gather_control(self, bytes line):
        cdef Py_ssize_t n = PyBytes_GET_SIZE(line), before = self._size
        self._reserve(n)
        memcpy(self._out + before, PyBytes_AS_STRING(line), n)
        self._size = before + n
        self._control.append((before, self._size))
        if before == 0 and self._on_first is not None:
            self._on_first()
        return self._size

    def subscribe(self, sid, subject, queue=""):
        """Gather ``SUB``."""
        return self._gather_control(_commands.sub_line(sid, subject, queue, self._max_control_line))

    def unsubscribe(self, sid, limit=0):
        """Gather ``UNSUB``; with `limit`, the server ends it after that many messages in all."""
        return self._gather_control(_commands.unsub_line(sid, limit))

    def ping(self):
        """Gather ``PING``."""
        return self._gather_control(b"PING\r\n")

    def pong(self):
        """Gather ``PONG``."""
        return self._gather_control(b"PONG\r\n")

    def connect(self, options):
        """Gather ``CONNECT`` with `options` as JSON."""
        return self._gather_control(_commands.connect_line(options))

    def take(self):
        """Everything gathered, to be written now."""
        data = PyBytes_FromStringAndSize(self._out, self._size) if self._size else b""
        self.clear()
        return data

    def drop_control(self):
        """Forget all but the publishes."""
        cdef Py_ssize_t start, stop, kept = 0, seen = 0
        if not self._control:
            return
        self._control.append((self._size, self._size))
        for start, stop in self._control:
            memmove(self._out + kept, self._out + seen, start - seen)
            kept += start - seen
            seen = stop
        self._size = kept
        self._control.clear()

    def clear(self):
        """Forget everything gathered."""
        self._size = 0
        if self._control:
            self._control.clear()
        if self._capacity > 1024 * 1024:
            PyMem_Free(self._out)
            self._out = NULL
            self._capacity = 0


cdef inline char* put_number(char* out, Py_ssize_t value) noexcept:
    cdef char digits[20]
    cdef int n = 0
    while True:
        digits[n] = <char>(48 + value % 10)
        n += 1
        value //= 10
        if value == 0:
            break
    while n:
        n -= 1
        out[0] = digits[n]
        out += 1
    return out
