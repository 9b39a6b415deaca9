"""Entries of a config changed by ``--cfg-options``: the one way that all tools do it."""
import argparse
import reprlib
from typing import Any, Dict, List, Optional

from mmengine.config import Config, DictAction

from ..errors import MultiSSLError
from ..utils.names import nearest
from .config_keys import ENTRIES, check_keys


class CommaList(list):
    """A list that commas alone have made, and which may have been meant as a text.

    Attributes:
        text (str): As it was written.
    """
    text: str = ''


class ConfigOptions(DictAction):
    """MMEngine's, except that texts stay as they are.

    A value in quotes is a text, blanks are kept, and errors name the option.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        text = val.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' and text[0] not in text[1:-1]:
            text = text[1:-1]
            if text[:1] + text[-1:] not in ('[]', '()'):
                return text
        if text[:1] + text[-1:] in ('[]', '()'):
            values = _at_commas(text[1:-1])
            if values is not None:
                return (tuple if text[0] == '(' else list)(
                    map(ConfigOptions._parse_iterable, values))
        if text.startswith(('dict(', '{')):
            raise argparse.ArgumentTypeError('a dict cannot be written here; change its entries '
                                             'one by one, as KEY.ENTRY=VALUE, or in a config file')
        if ',' not in text:
            return DictAction._parse_int_float_bool(text)
        values = _at_commas(text)
        if values is None or values == [text]:
            raise ValueError(text)
        split = CommaList(map(ConfigOptions._parse_iterable, values))
        split.text = text
        return split

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: Optional[str] = None) -> None:
        for value in values:
            try:
                super().__call__(parser, namespace, [value], option_string)
            except argparse.ArgumentTypeError as error:
                parser.error(f'{option_string} {value}: {error}')
            except ValueError:
                key, equals, text = value.partition('=')
                parser.error(
                    f'{option_string} {value}: a text with commas or brackets is written in quotes '
                    f"""that the shell leaves, {key}="'{text}'\"""" if equals else
                    f'{option_string} {value}: is not KEY=VALUE')


def _at_commas(text: str) -> Optional[List[str]]:
    """What is between the commas outside of brackets and quotes; None if these do not match."""
    parts, opened, quote = [''], '', ''
    for char in text:
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and not parts[-1].strip():
            quote = char
        elif char in '[(':
            opened += char
        elif char in '])':
            if opened[-1:] + char not in ('[]', '()'):
                return None
            opened = opened[:-1]
        if char == ',' and not opened + quote:
            parts.append('')
        else:
            parts[-1] += char
    if not parts[-1].strip():  # (1, ) or nothing
        parts.pop()
    return None if opened + quote else parts


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--cfg-options`` to the options of a tool; :func:`apply_options` applies them."""
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='change entries of the config, e.g. optim_wrapper.optimizer.lr=0.06 '
                        'or key="[a,b]"')


def apply_options(cfg: Config, options: Optional[Dict[str, Any]]) -> None:
    """Changes a config, in place, and looks at its keys.

    Raises:
        MultiSSLError: If an option names an entry that there is not, a comma has split a text, or
            the config has a key that nothing reads.
    """
    if options:
        check_options(cfg, options)
        cfg.merge_from_dict({key: list(value) if isinstance(value, CommaList) else value
                             for key, value in options.items()})
    check_keys(cfg)


def check_options(cfg: Config, options: Dict[str, Any]) -> None:
    """Looks at what ``--cfg-options`` is to change, before it does.

    Raises:
        MultiSSLError: If an option names an entry that there is not, or a comma has split a text.
    """
    for option, value in options.items():
        first, *rest = option.split('.')
        if first not in cfg and first not in ENTRIES:
            near = nearest(first, ENTRIES | set(cfg))
            raise MultiSSLError(f'--cfg-options {option}: the config has no {first}' +
                                (f'; is it {".".join([near, *rest])}?' if near else ''))
        before = _before(cfg, option, options)
        # In brackets a list is meant, unless the entry is a text now.
        if isinstance(value, CommaList) and not isinstance(before, (list, tuple)) or \
                isinstance(value, list) and (isinstance(before, str) or option == 'load_from'):
            _refuse_list(option, value, before)


def _before(cfg: Config, option: str, options: Dict[str, Any]) -> Any:
    """What an option is to replace; None if that is not there."""
    node: Any = cfg
    keys = option.split('.')
    for depth, key in enumerate(keys):
        where = '.'.join(keys[:depth])
        if f'{where}._delete_' in options:  # all of it is replaced
            return None
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                there = f'0 to {len(node) - 1}' if node else 'none'
                raise MultiSSLError(f'--cfg-options {option}: {where} is a list without {key}; its '
                                    f'entries are numbers: {there}')
            node = node[int(key)]
        elif not isinstance(node, (dict, Config)):
            raise MultiSSLError(f'--cfg-options {option}: {where} is {reprlib.repr(node)}, which '
                                'has no entries to change')
        elif key not in node:
            return None
        else:
            node = node[key]
    return node


def _refuse_list(option: str, value: list, before: Any) -> None:
    text = value.text if isinstance(value, CommaList) else ','.join(map(str, value))
    ways = {'a text': f"""in quotes that the shell leaves: {option}="'{text}'\"""",
            'a fraction': 'with a point', 'a list': f'in brackets: {option}="[{text}]"'}
    if isinstance(before, str):
        ways = {'a text': ways['a text']}
    else:
        del ways['a text' if type(before) in (int, float) else 'a fraction']
    raise MultiSSLError(f'--cfg-options {option}: commas make a list of {text}; ' + ', '.join(
        f'{what} is written {how}' for what, how in ways.items()))
