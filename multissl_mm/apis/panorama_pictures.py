"""Pictures of what a sound model says, drawn over the panorama."""
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import cv2
import numpy as np

from ..errors import MultiSSLError
from ..utils.figures import save_figure
from ..utils.images import is_image, read_image
from ..utils.video import open_video, upright


def read_panorama(path: Union[str, Path], seconds: float) -> np.ndarray:
    """A picture, or the frame of a video at this time: (H, W, 3), uint8, RGB.

    Raises:
        MultiSSLError: If it cannot be read, or the video ends before.
    """
    if is_image(path):
        return read_image(path)
    with open_video(path) as (container, stream):
        container.seek(int(seconds / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= seconds - 1e-3:
                return upright(frame, path)
    raise MultiSSLError(f'{path} ends before {seconds:.2f} s')


def draw_map(scores: np.ndarray, path: Path, panorama: Optional[np.ndarray] = None,
             rows: Sequence[float] = (0., 1.), classes: Sequence[str] = (),
             title: str = '') -> None:
    """Draws a semantic map, over the panorama where there is one.

    Args:
        scores (ndarray): (1 + K, H, W), probabilities with nothing first.
        path (Path): Picture to write.
        panorama (ndarray, optional): (H', W', 3), uint8.
        rows (sequence[float]): First and last row of the map as shares of the panorama's height.
        classes (sequence[str]): Names of the K classes.
        title (str): Above the picture.
    """
    # Without pyplot, which would take a notebook's own way of showing figures.
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    if panorama is None:
        height, width = scores.shape[1] * 4, scores.shape[2] * 4
        panorama, rows = np.full((height, width, 3), 235, np.uint8), (0., 1.)
    height, width = panorama.shape[:2]
    top, bottom = (int(round(share * height)) for share in rows)
    planes: List[np.ndarray] = list(scores.astype(np.float32))
    band = np.stack([cv2.resize(plane, (width, bottom - top), interpolation=cv2.INTER_LINEAR)
                     for plane in planes])
    labels, colors = band.argmax(0), colormaps['tab10'](range(10))[:, :3]
    overlay = np.zeros((height, width, 4), np.float32)
    for k in range(1, len(scores)):
        overlay[top:bottom][labels == k] = (*colors[(k - 1) % 10], .6)
    figure = Figure(figsize=(10, max(2.5, 10 * height / width + 1)), dpi=110, layout='constrained')
    axes = figure.subplots()
    where: Dict[str, Any] = dict(extent=(180, -180, -90, 90), aspect='auto',
                                 interpolation='nearest')
    axes.imshow(panorama, **where)
    axes.imshow(overlay, **where)
    axes.set(title=title, xlabel='azimuth, degrees to the left of the front', yticks=[],
             xticks=range(180, -181, -45))
    figure.legend(handles=[Patch(color=colors[k % 10], label=name)
                           for k, name in enumerate(classes)],
                  loc='outside lower center', ncols=max(1, len(classes)), fontsize=9)
    save_figure(figure, path)
