"""What is not done unless its user says so: by an option of the tools, or in the environment."""
import argparse
import os
from typing import Any, NamedTuple


class Permission(NamedTuple):
    """An option of command lines, the variable that stands for it, and what it is for.

    The variable reaches ranks and the workers of loaders, too; Python code sets it itself.
    """
    option: str
    variable: str
    help: str

    @property
    def given(self) -> bool:
        """Whether the user said so."""
        return os.environ.get(self.variable, '0') not in ('', '0')

    def how(self) -> str:
        """How it is given, for messages."""
        return f'{self.option} (or {self.variable}=1)'


#: Code that a checkpoint brings along may be anything.
TRUST_CHECKPOINT = Permission(
    '--trust-checkpoint', 'MULTISSL_TRUST_CHECKPOINT',
    'let checkpoints run the code that is in them; only of people whom you trust')
#: Lists and indices of others may name any file of this machine.
ALLOW_OUTSIDE = Permission(
    '--allow-outside', 'MULTISSL_ALLOW_OUTSIDE',
    'let lists and annotations name files outside of their data folder')


def add_permissions(parser: argparse.ArgumentParser, *permissions: Permission) -> None:
    """Adds their options to those of a tool."""
    for permission in permissions:
        parser.add_argument(permission.option, action=_Give, nargs=0, const=permission.variable,
                            dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
                            help=permission.help)


class _Give(argparse.Action):

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        os.environ[self.const] = '1'
