"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A mistake in what the user gave: one line that names what, where and the way out.

    Command-line entry points print its text without a traceback and exit with status 1.
    """
