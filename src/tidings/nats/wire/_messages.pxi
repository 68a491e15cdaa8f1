# The twin of message.py: messages, and the routes they wait on.


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
    def header_block(self):
        """The headers as they came, or None when there are none."""
        return self._block

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
    cdef public bint is_due
    cdef public bint wants_wake
    cdef public bint wants_served
    cdef public type message_type
    cdef public object callback
    cdef public object context
    cdef public Calls calls
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
        self.wants_wake = True
        self.message_type = Msg
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
            self._count_drop()
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
                self._pop()
                self._count_drop()
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

    cdef inline void _count_drop(self) noexcept:
        self.dropped += 1
        self.wants_wake = True

    def wake(self):
        """Called by the reader after a batch that put messages here; a subscription overrides it."""

    def failed(self, error):
        """Called when `callback` raised `error`; raises it, unless a subscription knows better."""
        raise error

    def returned(self, result):
        """Called when `callback` returned something else than None: whether to leave the rest to others."""
        return False

    def served(self):
        """Called after `callback` was, if that is wanted."""

    def pop(self):
        """Take the oldest message; None when there is none."""
        return self._pop()

    cdef Msg _pop(self):
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
