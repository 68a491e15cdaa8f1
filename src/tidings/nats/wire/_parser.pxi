# The twin of parser.py: bytes of the server to messages and events.


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
    # The route of the last message of this batch: most are for the same subscription, and an id beyond 256
    # is an object to make for a look into `routes`. Nothing changes those while a batch is parsed.
    cdef Route _latest
    cdef Py_ssize_t _latest_sid
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
        self._latest_sid = -1
        try:
            while self._step(events):
                pass
        except ProtocolError as error:
            self._error = str(error)
            error.events = events
            raise
        finally:
            self._latest = None
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
        """The routes that got messages since the last call and want to be woken; other callbacks are due."""
        cdef list touched = self._touched
        cdef list wanting = []
        cdef Route route
        if touched:
            self._touched = []
            for each in touched:
                route = <Route>each
                route.touched = False
                if route.wants_wake or route.calls is None:
                    wanting.append(route)
                else:
                    route.calls._add(route)
        return wanting

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
        if self._sid != self._latest_sid:
            found = self.routes.get(self._sid)
            self._latest = None if found is None else <Route?>found
            self._latest_sid = self._sid
        route = self._latest
        if route is None:
            self.unrouted += 1
        else:
            message = self._new_message(route, body)
            message.data = PyBytes_FromStringAndSize(body + header_size, self._size - header_size)
            self._deliver(route, message, self._size - header_size)
        self._start += line_size + self._size + 2
        self.messages += 1
        self.message_bytes += self._size
        return True

    cdef Msg _new_message(self, Route route, const char* body):
        """A message without its payload; without a route, its owner is not known yet."""
        cdef Msg message
        if route is None or route.message_type is Msg:
            message = Msg.__new__(Msg)
        else:
            message = <Msg?>(<PyTypeObject*>route.message_type).tp_new(route.message_type, (), NULL)
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
            self._deliver(<Route>found, self._of_type((<Route>found).message_type), self._long_size)
        self.messages += 1
        self.message_bytes += self._size
        self._is_long = False
        self._long_payload = None
        self._long_message = None
        return True


    cdef Msg _of_type(self, type kind):
        """The long message, made before its route was known."""
        cdef Msg message = self._long_message
        if kind is Msg:
            return message
        return kind(
            message.subject, message.reply, message.data,
            header_block=message._block, sid=message.sid, owner=message.owner,
        )


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
