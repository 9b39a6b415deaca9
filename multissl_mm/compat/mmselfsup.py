"""MMSelfSup 1.0 configs without MMSelfSup: its names stand for their MMPretrain descendants.

MMSelfSup 1.0.0, its last release, asserts mmcv < 2.1, which current torch cannot compile. Where it
can be imported nothing here is used. Where it cannot, :func:`add_scope` registers the scopes
``mmselfsup`` and ``mmcls``, so that ``default_scope = 'mmselfsup'`` and ``type='mmselfsup.MoCo'``
work as before. A name is looked for in

1. what was registered under the scope by code of the user's own,
2. the tables ``CHANGED`` and ``REFUSED`` below,
3. MMPretrain and then MMCV, MMEngine and torch under the same name: what is in neither table takes
   the same arguments there (``MoCoV2Neck``, ``SelfSupDataPreprocessor``, ``LARS``, ...).
"""
import functools
import os.path as osp
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Callable, Dict, Optional, Tuple

import mmengine.registry
from mmengine.logging import print_log
from mmengine.registry import Registry

from ..errors import MultiSSLError

Args = Dict[str, Any]
Change = Callable[[Args], None]  # turns MMSelfSup's arguments into MMPretrain's, in place

# ---------------------------------------------------------------------- changes of arguments


def _rename(**names: str) -> Change:
    def change(args: Args) -> None:
        # All at once: the new name of one may be the old name of another.
        args.update({names[key]: args.pop(key) for key in list(args) if key in names})

    return change


def _complement(*keys: str) -> Change:
    """MMSelfSup's momentum is the share of the old weights, MMPretrain's that of the new ones."""
    def change(args: Args) -> None:
        for key in keys:
            if key in args:  # the defaults are each other's complement
                # Rounded, because 1 - 0.999 is 0.0010000000000000009.
                args[key] = round(1 - args[key], 12)

    return change


def _resnet(args: Args) -> None:
    # MMPretrain initialises the last norm of each block with 0 by default, MMSelfSup does not.
    args.setdefault('zero_init_residual', False)
    if 'out_indices' in args:  # the defaults (4, ) and (3, ) are the same stage
        if 0 in args['out_indices']:
            raise MultiSSLError(f'out_indices={args["out_indices"]}: 0 is the stem, which '
                                'MMPretrain\'s ResNet does not put out; name stages from 1 to 4')
        args['out_indices'] = tuple(i - 1 for i in args['out_indices'])


def _linear_neck(args: Args) -> None:
    # MMPretrain's has a norm by default, and pools only if it is told to.
    args.update(gap_dim=2 if args.pop('with_avg_pool', True) else 0, norm_cfg=None)


def _non_linear_neck(args: Args) -> None:
    # True picked the class token of a transformer, which MMPretrain's put out by itself.
    args.pop('vit_backbone', None)


def _gaussian_blur(args: Args) -> None:
    # 'inf' stands for a uniform distribution over the range.
    args.update(magnitude_range=(args.pop('sigma_min'), args.pop('sigma_max')),
                magnitude_std='inf')


def _solarize(args: Args) -> None:
    args['thr'] = args.pop('threshold', 128)


def _pack_inputs(args: Args) -> None:
    if args.pop('pseudo_label_keys', None):
        raise MultiSSLError('pseudo_label_keys: MMPretrain\'s data samples have no pseudo labels; '
                            'use algorithm_keys')
    # MMPretrain packs these two always, and in a form of its own.
    args['algorithm_keys'] = [key for key in args.get('algorithm_keys', ())
                              if key not in ('gt_label', 'mask')]
    args.setdefault('meta_keys', ())
    _rename(key='input_key')(args)


def _image_list(args: Args) -> None:
    # ImageList finds out by itself whether the lines of its file end with a label.
    with open(osp.join(args.get('data_root', ''), args['ann_file'])) as f:
        args['with_label'] = len(f.readline().split()) == 2


# scope -> old name -> (name in MMPretrain, change of the arguments)
CHANGED: Dict[str, Dict[str, Tuple[str, Optional[Change]]]] = dict(
    mmselfsup=dict(
        MoCo=('MoCo', _complement('momentum')),
        DenseCL=('DenseCL', _complement('momentum')),
        BYOL=('BYOL', _complement('base_momentum')),
        MoCoV3=('MoCoV3', _complement('base_momentum')),
        CosineEMA=('CosineEMA', _complement('momentum', 'end_momentum')),
        ResNet=('ResNet', _resnet),
        ResNetV1d=('ResNetV1d', _resnet),
        ResNeXt=('ResNeXt', _resnet),
        LinearNeck=('LinearNeck', _linear_neck),
        NonLinearNeck=('NonLinearNeck', _non_linear_neck),
        VideoDataPreprocessor=('VideoDataPreprocessor', _rename(bgr_to_rgb='to_rgb')),
        ImageList=('CustomDataset', _image_list),
        RandomCrop=('RandomCrop', _rename(size='crop_size')),
        RandomResizedCrop=('RandomResizedCrop', _rename(
            size='scale', scale='crop_ratio_range', ratio='aspect_ratio_range')),
        RandomGaussianBlur=('GaussianBlur', _gaussian_blur),
        RandomSolarize=('Solarize', _solarize),
        PackSelfSupInputs=('PackInputs', _pack_inputs),
        SelfSupVisualizer=('UniversalVisualizer', None)),
    mmcls=dict(
        PackClsInputs=('PackInputs', None),
        ClsVisualizer=('UniversalVisualizer', None)))

# reason -> names of MMSelfSup
REFUSED = {
    'it has no descendant in MMPretrain, which dropped ODC, NPID, DeepCluster, RelativeLoc and '
    'RotationPred with all that only they used':
        'ODC NPID DeepCluster RelativeLoc RotationPred ODCHook DeepClusterHook DeepClusterImageNet '
        'DeepClusterSampler ResNetSobel ODCNeck RelativeLocNeck AvgPool2dNeck ClsHead MultiClsHead '
        'ODCMemory SimpleMemory RelativeLocDataPreprocessor RotationPredDataPreprocessor '
        'RotationWithLabels RandomPatchWithLabels',
    'MMPretrain rewrote masked image modelling (masks, targets, heads and data preprocessors), so '
    'that its configs cannot be translated name by name; take MMPretrain\'s own, e.g. '
    'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py':
        'MAE SimMIM BEiT CAE EVA MaskFeat MILAN MixMIM PixMIM BEiTViT CAEViT MAEViT MaskFeatViT '
        'MILANViT MixMIMTransformerPretrain SimMIMSwinTransformer BEiTV1Head BEiTV2Head CAEHead '
        'MAEPretrainHead MaskFeatPretrainHead MILANPretrainHead MixMIMPretrainHead SimMIMHead '
        'BEiTLoss CAELoss MAEReconstructionLoss PixelReconstructionLoss SimMIMReconstructionLoss '
        'BEiTV2Neck CAENeck MAEPretrainDecoder ClsBatchNormNeck MILANPretrainDecoder SimMIMNeck '
        'MixMIMPretrainDecoder CLIPGenerator DALL-E HOGGenerator LowFreqTargetGenerator VQKD '
        'CAEDataPreprocessor TwoNormDataPreprocessor SimMIMMaskGenerator BEiTMaskGenerator '
        'RandomResizedCropAndInterpolationWithTwoPic MAERandomResizedCrop',
    'MMPretrain\'s asks the model for the depth of a layer and takes the decay from '
    'paramwise_cfg; write mmpretrain.LearningRateDecayOptimWrapperConstructor and '
    'paramwise_cfg=dict(layer_decay_rate=...)':
        'LearningRateDecayOptimWrapperConstructor',
    'it has no descendant in MMPretrain; take torchvision/RandomRotation between NumpyToPIL and '
    'PILToNumpy':
        'RandomRotation',
}
_REASONS = {name: reason for reason, names in REFUSED.items() for name in names.split()}

# ---------------------------------------------------------------------- the scope


class DescendantRegistry(Registry):
    """Registry of a package that cannot be imported, see the module's docstring."""

    def get(self, key: str) -> Any:
        """The class, or a function that builds it from the old arguments.

        Raises:
            MultiSSLError: If the name has no descendant that takes its place; says why.
        """
        scope, name = self.split_scope_key(key)
        if scope not in (None, self.scope) or name in self.module_dict:
            return super().get(key)
        full_name = f'{self.scope}.{name}'
        if self.scope == 'mmselfsup' and name in _REASONS:
            raise MultiSSLError(f'{full_name} is not supported: {_REASONS[name]}')
        new_name, change = CHANGED[self.scope].get(name, (name, None))
        self.import_from_location()
        found = self.root.children.get('mmpretrain', self.root).get(new_name)
        if found is None:
            raise MultiSSLError(f'{full_name}: there is no {self.name} of this name in '
                                'MMPretrain, MMCV and MMEngine; check its spelling')
        _announce(self.scope)
        return found if change is None else _translated(full_name, found, change)


def _translated(name: str, cls: type, change: Change) -> Callable[..., Any]:
    @functools.wraps(cls, updated=())
    def build(**args: Any) -> Any:
        try:
            change(args)
        except MultiSSLError as e:
            raise MultiSSLError(f'{name}: {e}') from None
        return cls(**args)

    return build


@functools.cache
def _announce(scope: str) -> None:
    print_log(f'{scope} cannot be imported ({_import_error(scope)}): its names stand for their '
              'MMPretrain descendants', logger='current')


@functools.cache
def _import_error(package: str) -> Optional[str]:
    try:
        import_module(f'{package}.registry')
    except Exception as e:  # its own affair: an assertion on mmcv, an mmcls that is not there, ...
        return str(e)
    return None


def add_scope(scope: str) -> bool:
    """Registers ``mmselfsup`` or ``mmcls``, unless the package of that name can be imported.

    Returns:
        bool: Whether this module now answers for the scope, and not the package.
    """
    if _import_error(scope) is None:
        for registry in vars(import_module(f'{scope}.registry')).values():
            if isinstance(registry, Registry) and registry.scope == scope:
                # MMSelfSup's name a module that it does not have (mmselfsup.engine.runner), at
                # which MMEngine fails before any Runner starts.
                registry._locations = [loc for loc in registry._locations if find_spec(loc)]
        return False
    # MMEngine imports `<scope>.registry` whenever a scope is named, and warns if it cannot. A
    # user's own code finds its registries there too: `from mmselfsup.registry import MODELS`.
    module = ModuleType(f'{scope}.registry', __doc__)
    for name, root in vars(mmengine.registry).items():
        if isinstance(root, Registry):  # of every kind: MMEngine warns where the scope has none
            setattr(module, name, DescendantRegistry(
                root.name, parent=root, scope=scope, locations=['mmpretrain.registry']))
    sys.modules[module.__name__] = module
    return True
