"""Recorded vehicles out of the data of games, a folder of WAV files for each class.

Their licences stay theirs: nothing of them is part of this project.
"""
import struct
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from ..datasets.classes import CLASSES
from ..errors import MultiSSLError
from ..utils.files import AnyPath, write_atomically

#: Files below the unpacked packages. ``#3`` is the fourth WAV inside a file that holds several.
_LINCITY = 'usr/share/games/lincity-ng/sounds/'
_SIMUTRANS = 'usr/share/games/simutrans/pak/sound/'
_OPENSFX = 'usr/share/games/openttd/baseset/opensfx/opensfx.cat'
_XMOTO = 'usr/share/games/xmoto/xmoto.bin'
SOURCES: Dict[str, Tuple[str, ...]] = dict(
    car=(*(f'{_LINCITY}Trafic{name}.wav' for name in ('High1', 'High2', 'High3', 'Low2', 'Low3')),
         'usr/share/games/stormbaancoureur/sounds/camaro_s16_le.wav'),
    bus=(f'{_SIMUTRANS}bus.wav', f'{_OPENSFX}#27', f'{_OPENSFX}#28'),
    tram=(f'{_LINCITY}RailTrain2.wav', f'{_LINCITY}RailTrain3.wav', f'{_OPENSFX}#71'),
    # The last four are loops of a game's engine, from idling to its fastest.
    motorcycle=(f'{_LINCITY}DirtTrack1.wav', *(f'{_XMOTO}#{k}' for k in (2, 5, 8, 11))),
    truck=(f'{_SIMUTRANS}truck.wav', f'{_OPENSFX}#25', f'{_LINCITY}Tip2.wav'),
)


def gather_recordings(packages: AnyPath, out: AnyPath) -> Dict[str, List[Path]]:
    """Writes the recordings of :data:`SOURCES` to ``out/<class>/<nn>_<name>.wav``.

    Args:
        packages (str): Folder into which the packages are unpacked.
        out (str): Folder to write.

    Returns:
        dict: The files of every class.

    Raises:
        MultiSSLError: If a file is missing, or holds fewer sounds than it should; nothing is
            written then.
    """
    found: Dict[str, List[Tuple[str, bytes]]] = {}
    for kind in CLASSES:
        for k, source in enumerate(SOURCES[kind]):
            name, _, number = source.partition('#')
            path = Path(packages) / name
            if not path.is_file():
                raise MultiSSLError(f'{path}: no such file; tools/evidence/fetch.sh recordings '
                                    'fetches the packages')
            content = path.read_bytes()
            if number:
                inside = list(wavs_in(content))
                if int(number) >= len(inside):
                    raise MultiSSLError(f'{path} holds {len(inside)} sounds, but not number '
                                        f'{number}: it is of another version')
                content = inside[int(number)]
            stem = Path(name).stem + f'_{number}' * bool(number)
            found.setdefault(kind, []).append((f'{k:02d}_{stem}.wav', content))
    written: Dict[str, List[Path]] = {}
    for kind, files in found.items():
        for name, content in files:
            path = Path(out) / kind / name
            write_atomically(path, content)
            written.setdefault(kind, []).append(path)
    return written


def wavs_in(content: bytes) -> Iterator[bytes]:
    """Every WAV file inside another file, in order, empty ones too."""
    at = content.find(b'RIFF')
    while at >= 0:
        end = at + 4
        if content[at + 8:at + 12] == b'WAVE':
            end = at + 8 + struct.unpack_from('<I', content, at + 4)[0]
            yield content[at:end]
        at = content.find(b'RIFF', end)
