# The twin of commands.py: what we say, gathered in one buffer.


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
    cdef object _check
    cdef char* _out
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef list _control  # (from, to) of what is not a publish

    def __cinit__(self):
        self._out = NULL

    def __init__(self, on_first=None, *, Py_ssize_t max_payload=1024 * 1024, Py_ssize_t max_control_line=4096, bint skip_subject_validation=False):
        self.max_payload = max_payload
        self.headers_supported = True
        self._on_first = on_first
        self._max_control_line = max_control_line
        self._check = _subjects.check_word if skip_subject_validation else _subjects.check_subject
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
            self._check(subject, "subject")
        reply_keep = None
        if reply:
            if not PyUnicode_Check(reply):
                _subjects.check_subject(reply, "reply subject")
            reply_keep = utf8(reply, &reply_p, &reply_n)
            if not is_literal(<const unsigned char*>reply_p, reply_n):
                self._check(reply, "reply subject")
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
