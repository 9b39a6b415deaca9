"""Frames of videos."""
import os

import numpy as np
import pytest

from multissl_mm.utils.video import upright

av = pytest.importorskip('av')


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='counts threads of the system')
def test_a_frame_brings_no_threads():
    """One that garbage collection freed in a forked process waited for them for ever."""
    picture = np.random.default_rng(0).integers(256, size=(240, 320, 3), dtype=np.uint8)
    frames = [av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format='yuv420p',
                                                                           threads=1)
              for _ in range(3)]
    before = len(os.listdir('/proc/self/task'))
    shown = [upright(frame, 'x.mp4') for frame in frames]
    assert len(os.listdir('/proc/self/task')) == before
    assert all(part.shape == (240, 320, 3) for part in shown)
