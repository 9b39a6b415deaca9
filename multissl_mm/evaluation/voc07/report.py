"""The whole protocol, from a checkpoint to a table and a JSON file."""
import hashlib
import os.path as osp
import time
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import joblib
from mmengine.config import Config
from mmengine.dist import get_dist_info
from rich.console import Console
from rich.table import Table

from ...apis import load_encoder
from ...runtime import load_config
from ...utils.files import AnyPath
from ..provenance import provenance, settings_ending, write_result
from .data import load_voc2007
from .features import PooledFeatures, extract_features
from .low_shot import evaluate_low_shot
from .svm import COSTS, evaluate_voc07


def run_voc07_svm(config: Union[AnyPath, Config],
                  checkpoint: AnyPath,
                  data_root: AnyPath = 'data/VOCdevkit/VOC2007',
                  layer: str = 'feat5',
                  image_size: int = 224,
                  prefix: str = 'backbone.',
                  costs: Sequence[float] = COSTS,
                  low_shot: Sequence[int] = (),
                  low_shot_samples: int = 5,
                  batch_size: int = 32,
                  workers: int = 2,
                  device: str = 'auto',
                  jobs: int = -1,
                  seed: int = 0,
                  solver: str = 'liblinear',
                  out: Optional[AnyPath] = None,
                  verbose: bool = True) -> Optional[Dict[str, Any]]:
    """Evaluates the backbone of a checkpoint, prints a table and writes JSON.

    Args:
        config, checkpoint, prefix: See :func:`multissl_mm.apis.load_encoder`.
        data_root (str): Folder ``VOC2007`` of VOCdevkit.
        layer (str): Key of ``LAYERS``.
        low_shot (sequence[int]): Values of k for :func:`evaluate_low_shot`; none for no low-shot.
        out (str | None): The JSON file, by default
            ``work_dirs/voc07_svm/<config>/<checkpoint>_<digest>_<layer>.json``, behind the layer
            a digest of the settings where they are not the defaults.
        verbose (bool): Print progress and tables.

    Other arguments as in :func:`extract_features` and :func:`evaluate_voc07`.

    Returns:
        dict | None: What is in the JSON file; None in processes other than the first, which does
        all the fitting.

    Raises:
        MultiSSLError: Names the file, image or key, and what to do.
    """
    start = time.time()
    cfg = load_config(config)
    class_names, train, test = load_voc2007(data_root)
    encoder = load_encoder(cfg, checkpoint, prefix=prefix, seed=seed)
    model = PooledFeatures(encoder, layer)
    features = extract_features(model, train.paths + test.paths, image_size, batch_size, workers,
                                device, verbose)
    if get_dist_info()[0] != 0:
        return None  # and does not wait: the fits may take longer than a collective's timeout
    extracted = time.time()
    data = (features[:len(train.paths)], train.labels, features[len(train.paths):], test.labels,
            class_names)
    rest: Dict[str, Any] = dict(costs=costs, jobs=jobs, seed=seed, progress=verbose)
    result = evaluate_voc07(*data, **rest, solver=solver, device=device)
    if low_shot:
        result['low_shot'] = evaluate_low_shot(*data, low_shot, low_shot_samples, **rest)
    origin = provenance(config, checkpoint, encoder, seed)
    origin['versions']['joblib'] = joblib.__version__
    result = dict(
        **origin,
        layer=layer,
        dimensions=features.shape[1],
        features_sha256=hashlib.sha256(features.tobytes()).hexdigest(),
        pooling=model.pooling,
        image_size=image_size,
        data_root=str(data_root),
        images=dict(trainval=len(train.paths), test=len(test.paths)),
        **result,
        seconds=dict(features=extracted - start, svm=time.time() - extracted))
    # Not the solver: both find the same optimum.
    ending = settings_ending(
        run_voc07_svm, data_root=osp.normpath(data_root), image_size=image_size, prefix=prefix,
        costs=costs, low_shot=low_shot, low_shot_samples=low_shot_samples, seed=seed)
    out = write_result(result, 'voc07_svm', f'_{layer}{ending}', out)
    if verbose:
        print_result(result)
        print(f'wrote {out}')
    return result


def print_result(result: Mapping[str, Any]) -> None:
    """Tables of what :func:`run_voc07_svm` returns."""
    console = Console(markup=False)  # names of files may have brackets
    table = Table('class', 'AP', 'cost', 'AP in cross-validation', 'positives trainval / test',
                  title=f'VOC07 SVM, {result["layer"]} ({result["dimensions"]}-d) of '
                  f'{result["checkpoint"]}')
    for name, row in result['classes'].items():
        table.add_row(name, f'{row["AP"]:.2f}', f'{row["cost"]:.6g}', f'{row["cv_AP"]:.2f}',
                      f'{row["positives_train"]} / {row["positives_test"]}')
    table.add_row('mean', f'{result["mAP"]:.2f}', style='bold')
    console.print(table)
    notes = [f'pooling: {result["pooling"]}',
             f'{result["not_converged"]} of {result["fits"]} fits stopped before the optimum '
             f'({result["solver"]})',
             *(f'{name} is not part of the mean: {why}'
               for name, why in result['excluded'].items())]
    low_shot = result.get('low_shot')
    if low_shot:
        table = Table('positives per class', 'mAP', 'std', 'costs', title='low-shot')
        for k, row in low_shot['shots'].items():
            table.add_row(k, f'{row["mean"]:.2f}', f'{row["std"]:.2f}',
                          ', '.join(f'{cost:.4g}' for cost in row['cost']))
        console.print(table)
        notes += [f'low-shot, k = {k} left out: {why}' for k, why in low_shot['left_out'].items()]
    console.print('\n'.join(notes), highlight=False, soft_wrap=True)
