"""The recordings of a scene: which there are, and whether every sample of them can be used."""
import re
from hashlib import sha256
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
import soundfile

from ...errors import MultiSSLError

#: Tracks that the published scenes 1 to 27 lack.
MAY_LACK = (3, 4)
#: Tracks, or video and sound, may differ in length by so many seconds.
TOLERANCE = 0.5
#: A track is silent if it is so many dB below the loudest one of its scene.
SILENT = 60.
#: A track has failed if its samples are all the same for so many seconds, or for this share of the
#: scene, while those of another are not. Quiet moments of real recordings have noise.
STILL, STILL_SHARE = 10., 0.25
#: Seconds in which samples are looked at for that.
PIECE = 0.25
#: Files of a scene that are read, by their names in lower case.
READ = TRACKS, VIDEO, LABELS = (r'.*_tr[1-8]\.wav', r'video_.*_cropped\.mp4', r'labels_.*\.npz')


def files_of(folder: Path) -> List[Path]:
    """Files of a scene, sorted; those whose names begin with a dot are the system's."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith('.'))


def is_read(path: Path, patterns: Sequence[str] = READ) -> bool:
    """Whether a file of a scene is video, track or labels, by its name."""
    return any(re.fullmatch(pattern, path.name.lower()) for pattern in patterns)


def find_tracks(folder: Path) -> Dict[int, Path]:
    """Microphone -> WAV file of a scene.

    Raises:
        MultiSSLError: If one is missing that no published scene lacks.
    """
    tracks = {}
    for n in range(1, 9):
        found = [p for p in files_of(folder) if p.name.lower().endswith(f'_tr{n}.wav')]
        if len(found) > 1:
            raise MultiSSLError(f'{folder} has {len(found)} files for track {n}: '
                                f'{", ".join(p.name for p in found)}; keep one')
        if found:
            tracks[n] = found[0]
    missing = [n for n in range(1, 9) if n not in tracks and n not in MAY_LACK]
    if missing:
        raise MultiSSLError(f'{folder} has no *_Tr{missing[0]}.WAV; restore it from the archive')
    return tracks


def check_sound(tracks: Dict[int, Path], seconds: float, silence: float
                ) -> Tuple[int, float, List[float]]:
    """Reads every sample once.

    Returns:
        tuple: Sample rate in Hz, duration in seconds, and the starts of segments with sound.

    Raises:
        MultiSSLError: If a track cannot be read or does not go with the others; names it.
    """
    infos = {}
    for n, path in tracks.items():
        try:
            infos[n] = soundfile.info(str(path))
        except (soundfile.LibsndfileError, OSError) as error:
            raise MultiSSLError(f'{path} cannot be read ({error}); restore it') from error
        if infos[n].channels != 1:
            raise MultiSSLError(f'{path} has {infos[n].channels} channels; every track must be '
                                'mono')
    rates = sorted(info.samplerate for info in infos.values())
    rate = rates[len(rates) // 2]
    for n, info in infos.items():
        if info.samplerate != rate:
            raise MultiSSLError(f'{tracks[n]} has {info.samplerate} Hz, the other tracks {rate}; '
                                'resample it')
    longest = max(info.frames for info in infos.values())
    for n, info in infos.items():
        if longest - info.frames > TOLERANCE * rate:
            raise MultiSSLError(f'{tracks[n]} lasts {info.frames / rate:.2f} s, other tracks '
                                f'{longest / rate:.2f} s: it was cut off; restore it')
    power: List[float] = []
    levels: Dict[int, float] = {}
    moving: Dict[int, List[bool]] = {}
    contents: Dict[bytes, int] = {}
    block, piece = int(round(seconds * rate)), max(int(PIECE * rate), 1)
    for n, path in tracks.items():
        done, total, squares = 0, 0., 0.
        moving[n], content = [], sha256()
        with soundfile.SoundFile(str(path)) as file:
            for sound in read_blocks(file, block):
                if not np.isfinite(sound).all():
                    at = (done + int(np.argmin(np.isfinite(sound)))) / rate
                    raise MultiSSLError(f'{path} has a sample that is not a number at {at:.2f} s; '
                                        'restore it')
                done += len(sound)
                pieces = sound[:len(sound) // piece * piece].reshape(-1, piece)
                moving[n] += (np.ptp(pieces, axis=1) > 0).tolist()
                content.update(sound.tobytes())
                total += float(sound.sum(dtype=np.float64))
                squares += float(np.square(sound, dtype=np.float64).sum())
                if n == 1 and len(sound) == block:
                    power.append(float(np.square(sound, dtype=np.float64).mean()))
        if done < infos[n].frames:
            raise MultiSSLError(f'{path} ends after {done / rate:.2f} s, its header says '
                                f'{infos[n].frames / rate:.2f} s: it was cut off; restore it')
        levels[n] = squares / max(done, 1) - (total / max(done, 1))**2  # without a constant
        twin = contents.setdefault(content.digest(), n)
        if twin != n and any(moving[n]):
            raise MultiSSLError(f'{path} is the same recording as {tracks[twin].name}; restore the '
                                'one that is a copy')
    for n, level in levels.items():
        if level <= max(levels.values()) * 10**(-SILENT / 10) and max(levels.values()) > 0:
            or_leave = ', or remove it: a scene may lack this track' if n in MAY_LACK else ''
            raise MultiSSLError(f'{tracks[n]} is silent from beginning to end, other tracks are '
                                f'not; restore it{or_leave}')
    _refuse_still(tracks, moving)
    threshold = np.mean(power) * 10**(-silence / 10) if power else 0.
    starts = [i * seconds for i, p in enumerate(power) if p > threshold]
    return rate, min(info.frames for info in infos.values()) / rate, starts


def _refuse_still(tracks: Dict[int, Path], moving: Dict[int, List[bool]]) -> None:
    """Looks for a track without any sound in a whole part of a scene.

    Args:
        moving (dict): Of every track, for one piece after the other: whether its samples differ.
    """
    count = max(map(len, moving.values()))
    least = max(min(STILL / PIECE, STILL_SHARE * count), 1)
    heard = [any(own[i] for own in moving.values() if i < len(own)) for i in range(count)]
    for n, own in moving.items():
        start = 0
        for i, moves in enumerate([*own, True]):
            if moves or not heard[i]:
                if i - start >= least:
                    raise MultiSSLError(
                        f'{tracks[n]} has no sound at all from {start * PIECE:g} s to '
                        f'{i * PIECE:g} s, while other tracks have; restore it')
                start = i + 1


def read_blocks(file: soundfile.SoundFile, block: int) -> Iterator[np.ndarray]:
    """Pieces of a recording, float32, one by one.

    Raises:
        MultiSSLError: If a sample cannot be decoded.
    """
    try:
        yield from file.blocks(block, dtype='float32')
    except soundfile.LibsndfileError as error:
        raise MultiSSLError(f'{file.name} cannot be decoded ({error}); restore it') from error
