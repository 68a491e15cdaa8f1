"""How the command ends: its exit codes, and the error that carries one to the door."""

import sys
from collections.abc import Callable
from enum import IntEnum

__all__ = ["CommandError", "Exit", "exit_code_of"]


class Exit(IntEnum):
    """Exit codes of `tidings`. A process forced to end by a second signal n ends with 128 + n."""

    OK = 0  # stopped as it was asked to: by a signal, or by app.exit()
    APP_FAILED = 1  # a hook, the lifespan or a broker raised while starting or stopping
    USAGE = 2  # a wrong option, a MODULE:APP that is not one, an unknown log level
    NO_APP = 3  # no such module, no such name in it, or the name is no App
    IMPORT_FAILED = 4  # the module is there, and its own code raised on import
    NO_SERVER = 5  # no server answered, it refused the credentials, or it was lost for good
    NOT_INSTALLED = 6  # an extra of tidings or the nats-server binary is missing
    NOT_PUBLISHED = 7  # the server, or the stream, did not take the message
    NO_ANSWER = 8  # a request that nobody listens to, or nobody answered in time
    ERROR_ANSWER = 9  # a request that was answered with an error


class CommandError(Exception):
    """Ends the command with `exit_code` after one message for people, without a traceback.

    `details` is printed above the message as it is: the traceback of the user's own code.
    """

    def __init__(self, exit_code: Exit, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = details


def exit_code_of(work: Callable[[], object]) -> int:
    """Do the work; its CommandError is told on stderr, and gives the code."""
    try:
        work()
    except CommandError as error:
        print(f"{error.details}tidings: {error}", file=sys.stderr)
        return error.exit_code
    return Exit.OK
