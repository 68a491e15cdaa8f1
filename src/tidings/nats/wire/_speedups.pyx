# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=False
"""The compiled twin of `message`, `calls`, `parser`, `commands` and `headers`: the same names, the same answers.

Those files say what happens and why; here stands only what is peculiar to C. Bytes from outside are read
through pointers, so each loop carries its bound, and memory that a caller can see (the windows of
`get_buffer`) belongs to a Python object which the window keeps alive.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
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
    ctypedef object (*newfunc)(type kind, object args, PyObject* keywords)
    ctypedef struct PyTypeObject:
        newfunc tp_new
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef object Headers = _headers.Headers
cdef Py_ssize_t READ_SIZE = _parser.READ_SIZE
cdef int DROP_OLD = _message.DROP_OLD, BLOCK = _message.BLOCK, ERROR = _message.ERROR


# Subjects


cdef unsigned char IN_TOKEN[256]  # whether a byte can stand in a subject and is no dot
for _byte in range(256):
    IN_TOKEN[_byte] = _byte > 32 and _byte != 127 and _byte != 46


cdef bint is_literal(const unsigned char* p, Py_ssize_t n) noexcept:
    """Whether these bytes are a subject that can be published to."""
    cdef Py_ssize_t i = 0, token
    while True:
        token = i
        while i < n and IN_TOKEN[p[i]]:
            i += 1
        if i == token or (i == token + 1 and (p[token] == 42 or p[token] == 62)):  # the token is * or >
            return False
        if i == n:
            return True
        if p[i] != 46:  # a dot
            return False
        i += 1


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


# Headers


cdef inline str text_of(const char* p, Py_ssize_t n):
    return PyUnicode_DecodeUTF8(p, n, "surrogateescape")


cdef bint is_header_name(const unsigned char* p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if p[i] <= 32 or p[i] >= 127 or p[i] == 58:
            return False
    return n > 0


cdef bytes plain_block(dict headers):
    """The block for a dict of ASCII texts, the usual case; None for what takes a closer look."""
    cdef PyObject* name = NULL
    cdef PyObject* value = NULL
    cdef Py_ssize_t at = 0, n = 0, size = 10 + 2  # the version line, the empty line
    cdef const char* p
    cdef char* out
    while PyDict_Next(headers, &at, &name, &value):
        if not (is_ascii(<object>name) and is_ascii(<object>value)):
            return None
        p = PyUnicode_AsUTF8AndSize(<object>name, &n)
        if not is_header_name(<const unsigned char*>p, n):
            return None
        size += n + 4
        p = PyUnicode_AsUTF8AndSize(<object>value, &n)
        if memchr(p, 13, n) != NULL or memchr(p, 10, n) != NULL:
            return None
        size += n
    block = PyBytes_FromStringAndSize(NULL, size)
    out = put(PyBytes_AS_STRING(block), b"NATS/1.0\r\n", 10)
    at = 0
    while PyDict_Next(headers, &at, &name, &value):
        p = PyUnicode_AsUTF8AndSize(<object>name, &n)
        out = put(put(out, p, n), b": ", 2)
        p = PyUnicode_AsUTF8AndSize(<object>value, &n)
        out = put(put(out, p, n), b"\r\n", 2)
    put(out, b"\r\n", 2)
    return block


cdef inline bint is_ascii(object text):
    return PyUnicode_Check(text) and PyUnicode_IS_COMPACT_ASCII(text)


cdef inline char* put(char* out, const char* p, Py_ssize_t n) noexcept:
    memcpy(out, p, n)
    return out + n


def encode_headers(headers):
    """The header block for `headers`. See `headers.encode_headers`."""
    cdef bytes block = plain_block(<dict>headers) if type(headers) is dict else None
    return _headers.encode_headers(headers) if block is None else block


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


# One extension, so that what calls another of these at every message is a C call; a file a noun.
include "_messages.pxi"
include "_calls.pxi"
include "_parser.pxi"
include "_encoder.pxi"
