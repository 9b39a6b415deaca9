"""Files in, predictions and files out: what the inferencers have in common."""
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.infer import BaseInferencer
from torch import Tensor

from ..errors import MultiSSLError
from ..runtime import load_config
from ..utils.checkpoint import some
from ..utils.files import AnyPath, atomic_path, check_folder, write_atomically

#: What is known of a file or of a piece of it: ``file``, and whatever the model puts out.
Prediction = Dict[str, Any]


class FileInferencer(BaseInferencer):
    """MMEngine's inferencer for files that no dataset reads and no visualizer draws.

    Args:
        config (str | Path | Config): Of the model: a file, or ``mmpretrain::folder/name.py``.
        checkpoint (str | Path): Its weights.
        device (str, optional): Defaults to what there is.
        show_progress (bool): Defaults to False.
    """

    def __init__(self, config: Union[AnyPath, Config], checkpoint: AnyPath,
                 device: Optional[str] = None, show_progress: bool = False) -> None:
        config = load_config(config)
        super().__init__(config, os.fspath(checkpoint), device, scope='multissl_mm',
                         show_progress=show_progress)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> dict:
        """MMEngine's; what cannot be written is noticed first: by the folder, by equal names."""
        inputs = self._inputs_to_list(inputs)
        if kwargs.get('out_dir') is not None:
            check_folder(kwargs['out_dir'])
            refuse_equal_names(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def _init_pipeline(self, cfg: Config) -> None:
        """Nothing: files do not come from a dataset."""

    def _init_collate(self, cfg: Config) -> Any:
        return default_collate

    def _init_visualizer(self, cfg: Config) -> None:
        """Nothing: pictures are drawn by functions of their own."""

    def _inputs_to_list(self, inputs: Union[AnyPath, Sequence[AnyPath]]) -> List[str]:
        listed = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
        if not listed:
            raise MultiSSLError('there is no file to look at: the list of inputs is empty')
        return [str(path) for path in listed]

    def postprocess(self, preds: List[Prediction], visualization: List[str],
                    return_datasamples: bool = False, **kwargs: Any) -> dict:
        """``predictions``, one dict per file or piece of it, and files of ``visualization``."""
        return dict(predictions=preds, visualization=visualization)


def refuse_equal_names(paths: Sequence[str]) -> None:
    """Complains of files by whose names what is written about them could not be told apart."""
    count = Counter(Path(path).stem for path in paths)
    alike = [path for path in paths if count[Path(path).stem] > 1]
    if alike:
        alike.sort(key=lambda path: (Path(path).stem, path))
        raise MultiSSLError('two files have the same name, by which what is written is named: '
                            f'{some(alike)}; take them one by one')


def write_predictions(predictions: Sequence[Prediction], out_dir: AnyPath,
                      without: Sequence[str] = ()) -> None:
    """Writes ``predictions.json``, and the tensors into ``predictions.npz`` beside it.

    A tensor that has the same shape in all predictions is one array of all of them; of others there
    is one for each, ``<name>_<number>``.

    Args:
        predictions (sequence[dict]): Those of an inferencer; none are an empty list.
        out_dir (str | Path): The folder.
        without (sequence[str]): Tensors that are not written.
    """
    out_dir = Path(out_dir)
    tensors: Dict[str, List[Tensor]] = {}
    for prediction in predictions:
        for key, value in prediction.items():
            if isinstance(value, Tensor):
                tensors.setdefault(key, []).append(value)
    arrays: Dict[str, Any] = {}
    for key, values in tensors.items():
        if key in without:
            continue
        if len({value.shape for value in values}) == 1:
            arrays[key] = torch.stack(values).numpy()
        else:
            arrays.update({f'{key}_{i}': value.numpy() for i, value in enumerate(values)})
    with atomic_path(out_dir / 'predictions.npz') as part, open(part, 'wb') as file:
        np.savez(file, **arrays)
    write_atomically(out_dir / 'predictions.json', json.dumps([
        {k: v for k, v in p.items() if k not in tensors} for p in predictions], indent=2))
