"""Linear segmentation: what a frozen backbone's last map says of each place of a picture.

1. A picture is resized to one size, as the VOC07 protocol does it. Its cells are the positions of
   the backbone's last map.
2. A class is there in a cell that its instances' masks cover to at least 15 %.
3. One linear layer per class learns that from the features of the cell, standardised: logistic
   regression. The penalty on its weights is the one with the best mean average precision in 3-fold
   cross-validation over the training pictures, cells of a picture staying together.
4. mAP is the mean over classes of the average precision over all held-out cells.

Nothing in it is drawn at random. Precisions (AP, mAP) in results are percentages; a class that says
nothing gets its share of the held-out cells, ``base_rate``.

Use :func:`run_linear_segmentation` for all of it, :func:`load_coco`, :func:`coverage`,
:class:`LastMap` and :func:`evaluate_cells` for its parts.
"""
from .data import COVERED, COCOSplit, coverage, load_coco
from .fit import PENALTIES, LinearLayer, evaluate_cells, fit_linear
from .report import LastMap, print_result, run_linear_segmentation

__all__ = ['COVERED', 'PENALTIES', 'COCOSplit', 'LastMap', 'LinearLayer', 'coverage',
           'evaluate_cells', 'fit_linear', 'load_coco', 'print_result', 'run_linear_segmentation']
