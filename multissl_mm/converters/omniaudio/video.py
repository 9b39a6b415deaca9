"""Frames, optical flow and moving foreground of a 360-degree video."""
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np

from ...errors import MultiSSLError
from ...utils.video import open_video, upright
from .options import Options
from .recordings import TOLERANCE


def read_frames(path: Path, rate: float) -> Iterator[Tuple[int, np.ndarray]]:
    """Frames of a video at a steady rate: (its number in the file, (H, W, 3) RGB), one by one.

    They are the right way up, see :func:`multissl_mm.utils.video.upright`.

    Raises:
        MultiSSLError: If the video cannot be decoded, or has times at which its pictures would not
            go with the sound: a late start, a gap, a step back.
    """
    wanted, before = 0, None
    with open_video(path) as (file, stream):
        stream.thread_count = 1  # scenes are done in parallel
        native = float(stream.average_rate or rate)
        for number, frame in enumerate(file.decode(stream)):
            time = number / native if frame.time is None else frame.time
            _check_time(path, time, before, 1 / native)
            picture, before = None, time
            while time >= wanted / rate - .5 / native:
                if picture is None:
                    picture = upright(frame, path)
                yield number, picture
                wanted += 1


def _check_time(path: Path, time: float, before: Optional[float], usual: float) -> None:
    """Looks whether a picture comes when it should, ``usual`` seconds after the one before."""
    if before is None:
        if abs(time) > max(.1, usual):
            raise MultiSSLError(f'{path} has its first picture at {time:.2f} s, while the sound '
                                'begins at 0; write it anew from 0 on, in step with the sound')
    elif time <= before:
        raise MultiSSLError(f'{path} has a picture at {time:.2f} s after that at {before:.2f} s; '
                            'write it anew, with times in order')
    elif time - before > max(TOLERANCE, 2.5 * usual):
        raise MultiSSLError(f'{path} has no picture between {before:.2f} s and {time:.2f} s; '
                            'restore it')


def _check_rate(path: Path, rate: float) -> None:
    """Looks whether a video has so many frames in a second as are to be stored."""
    with open_video(path) as (_, stream):
        # The average is lower where pictures are missing, which is told later.
        native = float(max(stream.average_rate or 0, stream.base_rate or 0) or rate)
    if rate > 1.05 * native:  # of what is read: times are rounded
        raise MultiSSLError(f'{path} has {native:.4g} frames per second, fewer than --fps '
                            f'{rate:.4g}; give at most {native:.4g}')


def crop(picture: np.ndarray, rows: Tuple[float, float]) -> np.ndarray:
    """The kept part of the height."""
    height = len(picture)
    return picture[round(rows[0] * height):round(rows[1] * height)]


def flow_between(before: np.ndarray, after: np.ndarray, dis: Any) -> np.ndarray:
    """Optical flow (H, W, 2) in pixels of grey panoramas, which are closed around the viewer."""
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


def cut_video(path: Path, labels: Optional[np.ndarray], options: Options) -> Dict[str, np.ndarray]:
    """Arrays of a scene, see the module; ``labels`` are those of all frames of the video."""
    height, width = options.size
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    frames: List[np.ndarray] = []
    flows: List[np.ndarray] = []
    kept: List[int] = []
    before, moved = None, np.zeros((height, width, 2), np.float32)
    _check_rate(path, options.fps)
    for i, (number, picture) in enumerate(read_frames(path, options.fps * options.flow_steps)):
        picture = crop(picture, options.rows)
        grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (2 * width, 2 * height),
                          interpolation=cv2.INTER_AREA)
        if before is not None:
            moved += cv2.resize(flow_between(before, grey, dis), (width, height),
                                interpolation=cv2.INTER_AREA) / 2
        before = grey
        if i % options.flow_steps == 0:
            frames.append(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
            flows.append(moved.astype(np.float16))
            kept.append(number)
            moved[:] = 0
    if not frames:
        raise MultiSSLError(f'{path} has no frames; restore it')
    arrays = dict(frames=np.stack(frames), flow=np.stack(flows))
    arrays['masks'] = find_foreground(arrays['frames'])
    if labels is not None:
        if labels.ndim != 3 or len(labels) <= kept[-1]:
            raise MultiSSLError(f'{path} has {kept[-1] + 1} frames at least, but its labels are '
                                f'{labels.shape}, not of as many frames; restore or remove them')
        arrays['labels'] = np.stack([
            cv2.resize(crop(labels[min(n, len(labels) - 1)], options.rows), (width, height),
                       interpolation=cv2.INTER_NEAREST) for n in kept])
    return arrays
