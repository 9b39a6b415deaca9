"""Errors that a person can act on."""


class MultiSSLError(RuntimeError):
    """Caused by a config, a file or a command line; the tools print it without a traceback.

    Its text names the file, sample, task or config key, and what to do, in one or two lines.
    """
