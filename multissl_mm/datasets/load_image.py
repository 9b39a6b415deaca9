"""Pictures for pipelines, read as everywhere else."""
from typing import Dict, Optional

import numpy as np
from mmcv.transforms import BaseTransform

from ..registry import TRANSFORMS
from ..utils.images import read_image


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Reads ``img_path``: ``img`` (H, W, 3), uint8, BGR, with ``img_shape`` and ``ori_shape``.

    It takes the place of ``LoadImageFromFile``. What :func:`multissl_mm.utils.images.read_image`
    accepts is accepted; of 8-bit pictures it gives what ``LoadImageFromFile`` gives with
    ``imdecode_backend='pillow'``.

    Args:
        backend_args (dict, optional): For a file backend of MMEngine.
    """

    def __init__(self, backend_args: Optional[Dict[str, str]] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        image = read_image(results['img_path'], self.backend_args)
        results['img'] = np.ascontiguousarray(image[..., ::-1])
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
