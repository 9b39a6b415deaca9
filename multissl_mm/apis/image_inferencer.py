"""Pictures in; representations, feature maps and the nearest pictures out."""
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Union

import cv2
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from ..errors import MultiSSLError
from ..utils.files import AnyPath
from ..utils.images import find_images, read_image
from ..utils.model import pooled
from .encoder import Encoder, NormalisePixels
from .feature_pictures import draw_colours, principal_colours
from .files import FileInferencer, Prediction
from .loading import load_encoder

#: Pictures with a shorter edge, px, or of a longer shape than this are refused.
MIN_EDGE, MAX_RATIO = 16, 8


class Gallery(NamedTuple):
    """Pictures to be found: G files, and their representations (G, C), of norm 1."""
    files: List[str]
    representations: Tensor


class ImageInferencer(FileInferencer):
    """Uses an encoder of pictures, whichever it is.

    Of every picture it gives

    - ``representation`` (C,): the last feature map, averaged;
    - ``map`` (C, h, w): the map itself, where the backbone gives one and not vectors;
    - ``nearest``, if there is a gallery: those of its pictures whose representations are most
      similar: ``file`` and ``similarity``, the cosine. The picture itself is left out.

    With ``out_dir`` each picture is drawn with its feature map over it, as ``<name>_features.png``:
    red, green and blue are the three principal components of all maps of the call together, so
    that colours can be compared from picture to picture. Where there are no maps, or too small
    ones, that is said and nothing is drawn.

    Args:
        config (str | Path | Config): With the backbone; see :func:`load_encoder`.
        checkpoint (str | Path): Its weights; ``random`` for random ones.
        device (str, optional): Defaults to what there is.
        image_size (int): Shorter edge of pictures as the encoder sees them, px. Defaults to 224.
        prefix (str): See :func:`load_encoder`.
        show_progress (bool): Defaults to False.

    Raises:
        MultiSSLError: If the weights do not fill the backbone, or it is one of sounds; of a call,
            if a picture cannot be read or is too small, if a folder has none, or if two would be
            drawn under the same name.

    Example::

        infer = ImageInferencer('configs/il_mocov2_densecl.py', 'epoch_400.pth')
        result = infer('street.jpg', gallery='data/imagenet/val', out_dir='outputs')
        result['predictions'][0]['nearest']  # [dict(file=..., similarity=0.93), ...]
        result['visualization']              # ['outputs/street_features.png']
    """

    preprocess_kwargs: set = set()
    forward_kwargs: set = set()
    visualize_kwargs: set = {'out_dir'}
    postprocess_kwargs: set = {'gallery', 'top'}

    def __init__(self, config: Union[AnyPath, Config], checkpoint: AnyPath,
                 device: Optional[str] = None, image_size: int = 224, prefix: str = 'backbone.',
                 show_progress: bool = False) -> None:
        self.image_size, self.prefix = image_size, prefix
        super().__init__(config, checkpoint, device, show_progress)

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu') -> Encoder:
        encoder = load_encoder(cfg, weights, device, self.prefix)
        if not isinstance(encoder.prepare, NormalisePixels):
            raise MultiSSLError(f'{cfg.filename or "the config"}: its encoder takes sounds; use '
                                'multissl_mm.apis.SoundInferencer')
        return encoder

    def _inputs_to_list(self, inputs: Union[AnyPath, Sequence[AnyPath]]) -> List[str]:
        if isinstance(inputs, (str, Path)) and Path(inputs).is_dir():
            return find_images(inputs)
        return super()._inputs_to_list(inputs)

    # ------------------------------------------------------------------ one picture

    def preprocess(self, inputs: Sequence[str], batch_size: int = 1, **kwargs: Any
                   ) -> Iterator[List[dict]]:
        """Pictures, ``batch_size`` at a time; those that follow each other and are of one size."""
        batch: List[dict] = []
        for path in inputs:
            image = self.read(path)
            if batch and (len(batch) == batch_size or image.shape != batch[0]['image'].shape):
                yield batch
                batch = []
            batch.append(dict(file=path, image=image))
        if batch:
            yield batch

    def read(self, path: str) -> Tensor:
        """A picture as the encoder sees it: (3, H, W), uint8, RGB, of ``image_size``."""
        image = read_image(path)
        height, width = image.shape[:2]
        if min(height, width) < MIN_EDGE or max(height, width) > MAX_RATIO * min(height, width):
            raise MultiSSLError(f'{path}: a picture of {width} x {height} px is too small or too '
                                f'narrow; it needs {MIN_EDGE} px at least, and at most '
                                f'{MAX_RATIO} times as many one way as the other')
        scale = self.image_size / min(height, width)
        # Averages where it shrinks: plain bilinear samples would leave pixels out.
        image = cv2.resize(image, (round(width * scale), round(height * scale)),
                           interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return torch.from_numpy(image).permute(2, 0, 1)

    @torch.no_grad()
    def forward(self, inputs: List[dict], **kwargs: Any) -> List[Prediction]:
        """Representations and maps of a few pictures of the same size."""
        images = torch.stack([item['image'] for item in inputs]).to(self.model.device)
        outs = self.model(images)
        found: Dict[str, Tensor] = dict(representation=pooled(outs).float().cpu())
        if outs[-1].dim() == 4:
            found['map'] = outs[-1].float().cpu()
        return [dict(file=item['file'], **{k: v[i] for k, v in found.items()})
                for i, item in enumerate(inputs)]

    # ------------------------------------------------------------------ the nearest ones

    def index(self, folder: AnyPath, batch_size: int = 32) -> Gallery:
        """Looks at all pictures of a folder once, so that many calls can search among them."""
        files = find_images(folder)
        found = [prediction['representation'] for batch in self.preprocess(files, batch_size)
                 for prediction in self.forward(batch)]
        return Gallery(files, F.normalize(torch.stack(found), dim=1))

    def postprocess(self, preds: List[Prediction], visualization: List[str],
                    return_datasamples: bool = False,
                    gallery: Union[AnyPath, Gallery, None] = None, top: int = 5,
                    **kwargs: Any) -> dict:
        """Adds the ``nearest`` pictures.

        Args:
            gallery (str | Path | Gallery, optional): A folder, or what :meth:`index` gave of one.
            top (int): How many pictures at most.
        """
        if gallery is not None:
            gallery = gallery if isinstance(gallery, Gallery) else self.index(gallery)
            own = F.normalize(torch.stack([p['representation'] for p in preds]), dim=1)
            paths = [Path(file).resolve() for file in gallery.files]
            for prediction, cosines in zip(preds, own @ gallery.representations.t()):
                order = [j for j in cosines.argsort(descending=True).tolist()
                         if paths[j] != Path(prediction['file']).resolve()]
                prediction['nearest'] = [
                    dict(file=gallery.files[j], similarity=round(cosines[j].item(), 4))
                    for j in order[:top]]
        return super().postprocess(preds, visualization)

    # ------------------------------------------------------------------ what is written

    def visualize(self, inputs: List[str], preds: List[Prediction],
                  out_dir: Optional[AnyPath] = None, **kwargs: Any) -> List[str]:
        """Draws the feature maps over their pictures; returns the files.

        Args:
            out_dir (str, optional): Where to; by default nothing is drawn.
        """
        if out_dir is None:
            return []
        maps = [p['map'] for p in preds if 'map' in p]
        if not maps:
            print_log(f'{type(self.model.backbone).__name__} gives vectors, no feature map that '
                      'could be drawn', logger='current', level=logging.WARNING)
            return []
        smallest = min(maps, key=lambda m: m[0].numel())
        if smallest[0].numel() < 4:
            print_log(f'nothing is drawn: the feature map of a picture of {self.image_size} px is '
                      f'{smallest.size(1)} x {smallest.size(2)}, too small; give a larger '
                      'image_size', logger='current', level=logging.WARNING)
            return []
        files = []
        for prediction, colours in zip(preds, principal_colours(maps)):
            path = Path(out_dir) / f'{Path(prediction["file"]).stem}_features.png'
            draw_colours(read_image(prediction['file']), colours, path)
            files.append(str(path))
        return files
