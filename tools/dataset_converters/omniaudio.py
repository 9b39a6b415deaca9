"""Prepares OmniAudio for training: checks every file, cuts frames, computes flow and foreground.

    python tools/dataset_converters/omniaudio.py dataset_public data/omniaudio --size 64 256

ROOT is the public layout: scene%04d/ with VIDEO_%04d_cropped.mp4 and *_Tr1.WAV to *_Tr8.WAV. The
recordings stay where they are. OUT gets, for each scene, arrays that are read piece by piece
(frames, flow, masks, and labels where the scene has them), and index.json, which names all
segments that are not silent. A scene whose files cannot be used is left out and reported at the
end; finished scenes are not done again.
"""
import argparse
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple
from zipfile import BadZipFile

import av
import cv2
import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track

from multissl_mm.datasets.ear_pairs import EAR_PAIRS, PAIR_NAMES
from multissl_mm.datasets.omniaudio import VERSION, OmniAudioDataset
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically

#: Tracks that the published scenes 1 to 27 lack.
MAY_LACK = (3, 4)
#: Video and sound may differ in length by so many seconds.
TOLERANCE = 0.5


class Options(NamedTuple):
    """What the arrays of a scene depend on.

    fps: stored frames per second. flow_steps: flow is measured in so many steps from one stored
    frame to the next, on pictures of twice the size. size: of stored frames (height, width). rows:
    which part of the video's height is kept, shares from the top. seconds: of a segment. silence:
    dB below the scene's mean power under which a segment counts as silent (track 1; the published
    rule has no number, so this one is ours).
    """
    fps: float = 4.
    flow_steps: int = 2
    size: Tuple[int, int] = (64, 256)
    rows: Tuple[float, float] = (0., 1.)
    seconds: float = 2.
    silence: float = 20.


# ---------------------------------------------------------------------- what is there

def find_tracks(folder: Path) -> Dict[int, Path]:
    """Microphone -> WAV file of a scene.

    Raises:
        MultiSSLError: If one is missing that no published scene lacks.
    """
    tracks = {}
    for n in range(1, 9):
        found = sorted(p for p in folder.iterdir() if p.name.lower().endswith(f'_tr{n}.wav'))
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
    block = int(round(seconds * rate))
    for n, path in tracks.items():
        done = 0
        with soundfile.SoundFile(str(path)) as file:
            for sound in read_blocks(file, block):
                if not np.isfinite(sound).all():
                    at = (done + int(np.argmin(np.isfinite(sound)))) / rate
                    raise MultiSSLError(f'{path} has a sample that is not a number at {at:.2f} s; '
                                        'restore it')
                done += len(sound)
                if n == 1 and len(sound) == block:
                    power.append(float(np.square(sound, dtype=np.float64).mean()))
        if done < infos[n].frames:
            raise MultiSSLError(f'{path} ends after {done / rate:.2f} s, its header says '
                                f'{infos[n].frames / rate:.2f} s: it was cut off; restore it')
    threshold = np.mean(power) * 10**(-silence / 10) if power else 0.
    starts = [i * seconds for i, p in enumerate(power) if p > threshold]
    return rate, min(info.frames for info in infos.values()) / rate, starts


def read_blocks(file: soundfile.SoundFile, block: int) -> Iterator[np.ndarray]:
    """Pieces of a recording, float32, one by one.

    Raises:
        MultiSSLError: If a sample cannot be decoded.
    """
    try:
        yield from file.blocks(block, dtype='float32')
    except soundfile.LibsndfileError as error:
        raise MultiSSLError(f'{file.name} cannot be decoded ({error}); restore it') from error


# ---------------------------------------------------------------------- pictures

def read_frames(path: Path, rate: float) -> Iterator[Tuple[int, np.ndarray]]:
    """Frames of a video at a steady rate: (its number in the file, (H, W, 3) RGB), one by one.

    Raises:
        MultiSSLError: If the video cannot be decoded.
    """
    wanted = 0
    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            stream.thread_count = 1  # scenes are done in parallel
            native = float(stream.average_rate or rate)
            for number, frame in enumerate(file.decode(stream)):
                time = number / native if frame.time is None else frame.time
                picture = None
                while time >= wanted / rate - .5 / native:
                    if picture is None:
                        picture = frame.to_ndarray(format='rgb24')
                    yield number, picture
                    wanted += 1
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MultiSSLError(f'{path} cannot be decoded ({error}); restore it') from error


def crop(picture: np.ndarray, rows: Tuple[float, float]) -> np.ndarray:
    """The kept part of the height."""
    height = len(picture)
    return picture[round(rows[0] * height):round(rows[1] * height)]


def flow_between(before: np.ndarray, after: np.ndarray, dis: Any) -> np.ndarray:
    """Optical flow (H, W, 2) in pixels of grey panoramas; what leaves at one end enters at the
    other."""
    margin = before.shape[1] // 8
    around = [np.concatenate([p[:, -margin:], p, p[:, :margin]], axis=1) for p in (before, after)]
    return dis.calc(*around, None)[:, margin:-margin]


def find_foreground(frames: np.ndarray, window: int = 240) -> np.ndarray:
    """What moves in (F, H, W, 3): (F, H, W), 0 or 1, by background subtraction.

    The background is the median over a minute: it may be covered for almost half of the time (a
    mixture of Gaussians takes a busy lane for background), and follows the light.
    """
    masks = []
    for start in range(0, len(frames), window):
        part = frames[start:start + window]
        around = frames[max(start + len(part) // 2 - window // 2, 0):][:window]
        still = np.median(around[np.linspace(0, len(around) - 1, 61).astype(int)], axis=0)
        apart = np.abs(part - still.astype(np.float32)).max(3)
        threshold = max(20., 6 * float(np.median(apart)))
        masks += [cv2.medianBlur((a > threshold).astype(np.uint8), 3) for a in apart]
    return np.stack(masks)


def cut_video(path: Path, labels: Optional[np.ndarray], how: Options) -> Dict[str, np.ndarray]:
    """Arrays of a scene, see the module; ``labels`` are those of all frames of the video."""
    height, width = how.size
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    frames: List[np.ndarray] = []
    flows: List[np.ndarray] = []
    kept: List[int] = []
    before, moved = None, np.zeros((height, width, 2), np.float32)
    for i, (number, picture) in enumerate(read_frames(path, how.fps * how.flow_steps)):
        picture = crop(picture, how.rows)
        grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (2 * width, 2 * height),
                          interpolation=cv2.INTER_AREA)
        if before is not None:
            moved += cv2.resize(flow_between(before, grey, dis), (width, height),
                                interpolation=cv2.INTER_AREA) / 2
        before = grey
        if i % how.flow_steps == 0:
            frames.append(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
            flows.append(moved.astype(np.float16))
            kept.append(number)
            moved[:] = 0
    if not frames:
        raise MultiSSLError(f'{path} has no frames; restore it')
    arrays = dict(frames=np.stack(frames), flow=np.stack(flows))
    arrays['masks'] = find_foreground(arrays['frames'])
    if labels is not None:
        arrays['labels'] = np.stack([
            cv2.resize(crop(labels[min(n, len(labels) - 1)], how.rows), (width, height),
                       interpolation=cv2.INTER_NEAREST) for n in kept])
    return arrays


# ---------------------------------------------------------------------- a scene

def read_labels(folder: Path) -> Optional[np.ndarray]:
    """Classes (F, H, W) of all frames of a simulated scene's video; None for a real one.

    Raises:
        MultiSSLError: If there is a file of them that cannot be read.
    """
    for path in folder.glob('LABELS_*.npz'):
        try:
            with np.load(path) as file:
                return file['labels']
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise MultiSSLError(f'{path} cannot be read ({error}); restore or remove it') from error
    return None


def state_of(folder: Path) -> Dict[str, List[int]]:
    """Size and time of every file of a scene, by which a file that has changed is noticed."""
    return {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.iterdir())
            if p.is_file()}


def read_done(path: Path, **same: Any) -> Optional[Dict[str, Any]]:
    """A scene's ``scene.json``, if it is there and says the same."""
    try:
        found = json.loads(path.read_text())
        return found if all(found[key] == value for key, value in same.items()) else None
    except (OSError, ValueError, KeyError, TypeError):  # damaged is as good as not there
        return None


def convert_scene(root: Path, out: Path, how: Options, scene: int) -> Dict[str, Any]:
    """Checks and converts a scene, unless that was done before.

    A scene counts as done if its ``scene.json`` has the same options and the recordings are as
    they were then.

    Returns:
        dict: Its entry in the index.

    Raises:
        MultiSSLError: If one of its files cannot be used; names it. Nothing new is left behind.
    """
    cv2.setNumThreads(0)
    final, folder = out / f'scene{scene:04d}', root / f'scene{scene:04d}'
    options = json.loads(json.dumps(dict(how._asdict(), version=VERSION)))
    partial_folder = out / f'.scene{scene:04d}.partial'
    shutil.rmtree(partial_folder, ignore_errors=True)  # of an interrupted run
    sources = state_of(folder)
    done = read_done(final / 'scene.json', options=options, sources=sources)
    if done:
        return done['entry']
    tracks = find_tracks(folder)
    rate, duration, starts = check_sound(tracks, how.seconds, how.silence)
    videos = sorted(folder.glob('VIDEO_*_cropped.mp4'))
    if len(videos) != 1:
        raise MultiSSLError(f'{folder} has {len(videos)} files VIDEO_*_cropped.mp4, not one')
    arrays = cut_video(videos[0], read_labels(folder), how)
    seen = len(arrays['frames']) / how.fps
    if seen < duration - TOLERANCE:
        raise MultiSSLError(f'{videos[0]} lasts {seen:.2f} s, the sound {duration:.2f} s; restore '
                            'the video')
    duration = min(duration, seen)
    entry = dict(
        scene=scene, duration=duration, frames=len(arrays['frames']), sample_rate=rate,
        video=str(videos[0].relative_to(root)),
        tracks={str(n): str(p.relative_to(root)) for n, p in tracks.items()},
        pairs=[k for k, pair in enumerate(EAR_PAIRS) if all(n in tracks for n in pair)],
        arrays=sorted(arrays), segments=[s for s in starts if s + how.seconds <= duration])
    if not entry['segments']:
        raise MultiSSLError(f'{folder}: no segment of {how.seconds:g} s has any sound')
    partial_folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial_folder / f'{name}.npy', array)
    write_atomically(partial_folder / 'scene.json',
                     json.dumps(dict(options=options, sources=sources, entry=entry)))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial_folder, final)
    return entry


def _try_scene(root: Path, out: Path, how: Options, scene: int) -> Tuple[int, Any]:
    try:
        return scene, convert_scene(root, out, how, scene)
    except MultiSSLError as error:
        return scene, str(error)
    except Exception as error:  # whatever a decoder makes of a damaged file
        return scene, f'{root / f"scene{scene:04d}"}: {type(error).__name__}: {error}'


def convert(root: Path, out: Path, how: Options, scenes: List[int], workers: int
            ) -> Tuple[List[Dict[str, Any]], Dict[int, str]]:
    """Converts scenes in parallel and writes the index.

    Returns:
        tuple: The entries of the index, and the reasons why other scenes are left out.
    """
    good: List[Dict[str, Any]] = []
    bad: Dict[int, str] = {}
    work = partial(_try_scene, root, out, how)
    try:
        with ProcessPoolExecutor(max(workers, 1)) as pool:
            for scene, found in track(pool.map(work, scenes), 'scenes', total=len(scenes)):
                if isinstance(found, str):
                    bad[scene] = found
                else:
                    good.append(found)
    except BrokenProcessPool as error:
        raise MultiSSLError('a worker was killed, perhaps for want of memory; lower --workers and '
                            'run this again, finished scenes are kept') from error
    rates = [entry['sample_rate'] for entry in good]
    usual = max(set(rates), key=rates.count) if rates else 0
    for entry in [e for e in good if e['sample_rate'] != usual]:
        good.remove(entry)
        folder, rate = root / f'scene{entry["scene"]:04d}', entry['sample_rate']
        bad[entry['scene']] = f'{folder} has {rate} Hz, most scenes {usual}; resample it'
    if not good:
        reasons = '\n'.join(list(bad.values())[:3])
        raise MultiSSLError(f'none of the {len(scenes)} scenes in {root} can be used:\n{reasons}')
    meta = dict(dataset='OmniAudio', version=VERSION, source=os.path.relpath(root, out),
                sample_rate=usual, classes=OmniAudioDataset.METAINFO['classes'], **how._asdict())
    write_atomically(out / 'index.json', json.dumps(dict(metainfo=meta, data_list=good)))
    return good, bad


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder with scene0001, scene0002, ...')
    parser.add_argument('out', type=Path)
    parser.add_argument('--size', type=int, nargs=2, default=Options().size,
                        metavar=('HEIGHT', 'WIDTH'), help='of stored frames; the width a multiple '
                        'of 64 (default: %(default)s)')
    parser.add_argument('--rows', type=float, nargs=2, default=Options().rows,
                        metavar=('TOP', 'BOTTOM'), help='part of the height that is kept, as '
                        'shares (default: all)')
    parser.add_argument('--fps', type=float, default=Options().fps, help='stored frames per second')
    parser.add_argument('--flow-steps', type=int, default=Options().flow_steps, metavar='N',
                        help='frames of the video from one stored frame to the next between which '
                        'flow is measured (default: %(default)s)')
    parser.add_argument('--silence', type=float, default=Options().silence, metavar='DB',
                        help='a segment is silent if track 1 is so far below the mean power of '
                        'its scene (default: %(default)s)')
    parser.add_argument('--scenes', type=int, nargs=2, metavar=('FIRST', 'LAST'),
                        help='only these; the index then names no others (default: all)')
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument('--strict', action='store_true', help='exit with 1 if any scene is bad')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    how = Options(args.fps, args.flow_steps, tuple(args.size), tuple(args.rows),
                  silence=args.silence)
    if how.size[1] % 64 or not 0 <= how.rows[0] < how.rows[1] <= 1 or how.flow_steps < 1 \
            or how.fps <= 0:
        raise MultiSSLError('--size needs a width that is a multiple of 64 (rotations by 45 '
                            'degrees of strided features), --rows two shares from 0 to 1, --fps '
                            'and --flow-steps something positive')
    if not args.root.is_dir():
        raise MultiSSLError(f'{args.root}: no such folder')
    scenes = sorted(int(p.name[5:]) for p in args.root.glob('scene[0-9]*') if p.is_dir())
    if args.scenes:
        scenes = [s for s in scenes if args.scenes[0] <= s <= args.scenes[1]]
    if not scenes:
        raise MultiSSLError(f'{args.root} has no folders scene0001, scene0002, ... (--scenes?)')
    good, bad = convert(args.root, args.out, how, scenes, args.workers)
    say = Console(soft_wrap=True, highlight=False).print
    segments = sum(len(entry['segments']) for entry in good)
    say(f'{len(good)} scenes, {sum(e["duration"] for e in good) / 60:.1f} minutes, {segments} '
        f'segments in {args.out / "index.json"}')
    for pairs in sorted({tuple(e['pairs']) for e in good} - {(0, 1, 2, 3)}):
        lacking = [e['scene'] for e in good if tuple(e['pairs']) == pairs]
        names = ' and '.join(PAIR_NAMES[k] for k in range(4) if k not in pairs)
        say(f'without the pairs {names} (tracks missing): scenes {", ".join(map(str, lacking))}')
    if bad:
        say(f'{len(bad)} scenes are left out:')
        for scene in sorted(bad):
            say(f'  scene {scene}: {bad[scene]}')
        if args.strict:
            raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
