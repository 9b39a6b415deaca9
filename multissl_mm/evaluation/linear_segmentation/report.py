"""The whole evaluation, from a checkpoint to a table and a JSON file."""
import os.path as osp
import time
from typing import Any, Dict, Mapping, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.dist import get_dist_info
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ...apis import Encoder, load_encoder
from ...errors import MultiSSLError
from ...runtime import load_config
from ...utils.files import AnyPath
from ..provenance import provenance, settings_ending, write_result
from ..voc07.features import check_finite, check_takes_pictures, extract_features, features_device
from .data import COVERED, check_same_classes, coverage, load_coco
from .fit import PENALTIES, evaluate_cells


class LastMap(nn.Module):
    """The last map of an encoder of pictures, cell by cell.

    Raises:
        MultiSSLError: If the encoder hears.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        check_takes_pictures(encoder)
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """RGB pixels (N, 3, H, W) -> features (N, h, w, C)."""
        last = self.encoder(images)[-1]
        kind = type(self.encoder.backbone).__name__
        if last.dim() != 4:
            raise MultiSSLError(f'{kind}: its last output, of shape {tuple(last.shape)}, is no map '
                                '(N, C, H, W); let its config give one (a transformer: '
                                "model.backbone.out_type='featmap')")
        if last[0, 0].numel() < 2:
            size = 'x'.join(map(str, images.shape[:1:-1]))
            raise MultiSSLError(f'{kind}: pictures of {size} px have a last map of a single cell; '
                                'choose a larger --image-size')
        return last.permute(0, 2, 3, 1)


def run_linear_segmentation(config: Union[AnyPath, Config],
                            checkpoint: AnyPath,
                            data_root: AnyPath = 'data/coco',
                            train: str = 'train2017',
                            held_out: str = 'val2017',
                            train_pictures: Optional[int] = 5000,
                            image_size: int = 224,
                            prefix: str = 'backbone.',
                            penalties: Sequence[float] = PENALTIES,
                            batch_size: int = 32,
                            workers: int = 2,
                            device: str = 'auto',
                            seed: int = 0,
                            out: Optional[AnyPath] = None,
                            verbose: bool = True) -> Optional[Dict[str, Any]]:
    """Evaluates the backbone of a checkpoint, prints a table and writes JSON.

    Args:
        config, checkpoint, prefix, seed: See :func:`multissl_mm.apis.load_encoder`. Nothing but
            random weights depends on the seed.
        data_root (str): Folder in COCO's layout.
        train, held_out (str): Splits for fitting and for the number, see :func:`load_coco`.
        train_pictures (int | None): Fit on at most so many; None for all. COCO's 118,000 would be
            50 GB of features.
        image_size (int): Side of the squares that the backbone sees, px.
        out (str | None): The JSON file, by default
            ``work_dirs/linear_segmentation/<config>/<checkpoint>_<digest>.json``, with a digest
            of the settings at its end where they are not the defaults.
        verbose (bool): Print progress and the table.

    Other arguments as in :func:`~multissl_mm.evaluation.voc07.extract_features` and
    :func:`evaluate_cells`.

    Returns:
        dict | None: What is in the JSON file; None in processes other than the first, which does
        all the fitting.

    Raises:
        MultiSSLError: Names the file, image or key, and what to do.
    """
    start = time.time()
    fitted, tested = load_coco(data_root, train, train_pictures), load_coco(data_root, held_out)
    check_same_classes(fitted, tested, data_root)
    cfg = load_config(config)
    encoder = load_encoder(cfg, checkpoint, prefix=prefix, seed=seed)
    device = features_device(device)
    features = extract_features(LastMap(encoder), fitted.paths + tested.paths, image_size,
                                batch_size, workers, device, verbose)
    if get_dist_info()[0] != 0:
        return None
    check_finite(features)
    extracted = time.time()
    _, height, width, channels = features.shape
    # As good as equal is equal: shares are sums of floats.
    present, other = (coverage(split, (height, width), verbose) > COVERED - 1e-6
                      for split in (fitted, tested))
    count = len(fitted.paths)
    result = dict(
        **provenance(config, checkpoint, encoder, seed),
        dimensions=channels, map=[height, width], image_size=image_size, covered=COVERED,
        data_root=str(data_root), images={train: count, held_out: len(tested.paths)},
        **evaluate_cells(features[:count], present, features[count:], other, fitted.classes,
                         penalties, device, verbose),
        seconds=dict(features=extracted - start, fit=time.time() - extracted))
    ending = settings_ending(
        run_linear_segmentation, data_root=osp.normpath(data_root), train=train, held_out=held_out,
        train_pictures=train_pictures, image_size=image_size, prefix=prefix, penalties=penalties,
        seed=seed)
    out = write_result(result, 'linear_segmentation', ending, out)
    if verbose:
        print_result(result)
        print(f'wrote {out}')
    return result


def print_result(result: Mapping[str, Any]) -> None:
    """A table of what :func:`run_linear_segmentation` returns."""
    console = Console()
    height, width = result['map']
    table = Table('class', 'AP', 'guessing', 'positive cells train / held-out',
                  title=f'Linear segmentation, {height}x{width} cells '
                  f'({result["dimensions"]}-d) of {result["checkpoint"]}')
    for name, row in result['classes'].items():
        table.add_row(name, f'{row["AP"]:.2f}', f'{row["base_rate"]:.2f}',
                      f'{row["positives_train"]} / {row["positives_held_out"]}')
    table.add_row('mean', f'{result["mAP"]:.2f}', style='bold')
    console.print(table)
    tried = ', '.join(f'{penalty}: {value:.2f}' for penalty, value in result['cv_mAP'].items())
    notes = [f'mAP in cross-validation by penalty: {tried}; taken: {result["penalty"]:g}',
             f'{result["not_converged"]} of {result["fits"]} fits did not converge',
             *(f'{name} is not part of the mean: {why}'
               for name, why in result['excluded'].items())]
    console.print('\n'.join(notes), highlight=False, markup=False, soft_wrap=True)
