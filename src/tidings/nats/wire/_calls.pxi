# The twin of calls.py: the calls of plain callbacks.


cdef class Calls:
    """The routes whose callbacks are due. See `calls.Calls`."""

    cdef list _due
    cdef object _arm

    def __init__(self, arm):
        self._arm = arm
        self._due = []

    def add(self, Route route not None):
        """The callback of `route` is to be called for what the route holds."""
        self._add(route)

    cdef int _add(self, Route route) except -1:
        if not route.is_due:
            route.is_due = True
            if not self._due:
                self._arm()
            self._due.append(route)
        return 0

    def run(self, Py_ssize_t limit):
        """Call the callbacks that are due, each for at most `limit` messages; the rest is due again."""
        cdef list due = self._due
        cdef Py_ssize_t served = 0
        cdef Route route
        self._due = []
        try:
            for each in due:
                route = <Route>each
                route.is_due = False
                self._serve(route, limit)
                if route.wants_served:
                    route.served()
                served += 1
        finally:
            for each in due[served:]:
                (<Route>each).is_due = False
                self._add(<Route>each)

    cdef int _serve(self, Route route, Py_ssize_t limit) except -1:
        cdef object context = route.context
        PyContext_Enter(context)
        try:
            self._call(route, route.callback, limit)
        finally:
            PyContext_Exit(context)
        return 0

    cdef int _call(self, Route route, object callback, Py_ssize_t limit) except -1:
        cdef Msg message
        cdef Py_ssize_t count
        for count in range(limit):
            message = route._pop()
            if message is None:
                return 0
            try:
                result = callback(message)
            except BaseException as error:
                route.failed(error)
            else:
                if result is not None and route.returned(result):
                    return 0
        if route.pending_msgs:
            self._add(route)
        return 0
