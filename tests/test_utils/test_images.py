"""What is read as a picture, by training, evaluation and inference alike."""
import errno
import os
import struct

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS
from PIL import Image

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils import images
from multissl_mm.utils.images import find_images, read_image

RAMP = np.linspace(0, 65535, 48 * 40).reshape(48, 40).astype(np.uint16)
COLOURS = np.random.default_rng(0).integers(0, 255, (24, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize('suffix', ['png', 'tif', 'pgm'])
def test_sixteen_bits_are_scaled_as_opencv_does(tmp_path, suffix):
    """Bug 1: Pillow clips them to 255."""
    path = str(tmp_path / f'a.{suffix}')
    cv2.imwrite(path, RAMP)
    image = read_image(path)
    assert np.array_equal(image[..., ::-1], cv2.imread(path)) and len(np.unique(image)) == 256


#: What a format cannot hold.
NO_MODES = dict(png={'CMYK'}, jpg={'P', 'RGBA', 'LA'}, webp=set(), bmp={'LA', 'CMYK'}, tif=set(),
                ppm={'P', 'LA', 'CMYK'})


@pytest.mark.parametrize('suffix, mode', [
    (suffix, mode) for suffix, lacks in NO_MODES.items()
    for mode in ('RGB', 'L', 'P', '1', 'RGBA', 'LA', 'CMYK') if mode not in lacks])
def test_the_transform_gives_what_mmcv_gives(scope, tmp_path, suffix, mode):
    """Views of ordinary pictures stay as they were."""
    path = tmp_path / f'a.{suffix}'
    image = Image.fromarray(COLOURS).convert(mode)
    if 'A' in mode:
        image.putalpha(Image.fromarray(COLOURS[..., 0]))
    image.save(path)
    own = TRANSFORMS.build(dict(type='multissl_mm.LoadImage'))(dict(img_path=str(path)))
    theirs = LoadImageFromFile(imdecode_backend='pillow')(dict(img_path=str(path)))
    assert own.keys() == theirs.keys() and own['img_shape'] == theirs['img_shape']
    assert np.array_equal(own['img'], theirs['img']) and own['img'].dtype == np.uint8
    assert np.array_equal(own['img'][..., ::-1], read_image(path))


@pytest.mark.parametrize('pixels, words', [
    (RAMP.astype(np.float32), 'floating point'), (RAMP.astype(np.int32), '32-bit')])
def test_pixels_of_an_unknown_range_are_refused(tmp_path, pixels, words):
    """Bug 1"""
    Image.fromarray(pixels).save(tmp_path / 'a.tif')
    with pytest.raises(MultiSSLError, match=f'a.tif.*{words}') as error:
        read_image(tmp_path / 'a.tif')
    assert error.value.file == str(tmp_path / 'a.tif')


@pytest.mark.filterwarnings('ignore')
def test_damaged_exif_is_no_damaged_picture(tmp_path):
    """Bug 11: the orientation is applied whatever the other entries are; none if it is damaged."""
    # Orientation, and XResolution as a text, which is to be a number.
    exif = b'Exif\0\0II*\0' + struct.pack('<IH', 8, 2) + struct.pack('<HHIHH', 0x112, 3, 1, 6, 0) \
        + struct.pack('<HHI4s', 0x11A, 2, 3, b'72\0') + bytes(4)
    Image.fromarray(COLOURS).save(tmp_path / 'a.jpg', exif=exif)
    assert read_image(tmp_path / 'a.jpg').shape == (16, 24, 3)
    whole = (tmp_path / 'a.jpg').read_bytes()
    start = whole.index(b'Exif\0\0')
    rng = np.random.default_rng(0)
    for _ in range(200):
        bad = bytearray(whole)
        for place in rng.integers(start + 6, start + 44, 4):
            bad[place] = rng.integers(256)
        (tmp_path / 'b.jpg').write_bytes(bad)
        assert read_image(tmp_path / 'b.jpg').size == COLOURS.size


def test_orientations_are_those_of_pillow(tmp_path):
    for orientation in range(1, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = str(tmp_path / f'{orientation}.png')
        Image.fromarray(COLOURS).save(path, exif=exif)
        theirs = LoadImageFromFile(imdecode_backend='pillow')(dict(img_path=path))['img']
        assert np.array_equal(read_image(path)[..., ::-1], theirs)


def test_a_picture_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    """Bug 10"""
    Image.fromarray(COLOURS).save(tmp_path / 'a.jpg')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(MultiSSLError, match='a.jpg: .*exceeds limit') as error:
        read_image(tmp_path / 'a.jpg')
    assert '\n' not in str(error.value)


@pytest.mark.filterwarnings('ignore')
def test_mutated_pictures_are_read_or_named(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ('jpg', 'png', 'webp', 'tif', 'bmp', 'ppm'):
        path = tmp_path / f'a.{suffix}'
        Image.fromarray(COLOURS).save(path)
        whole = path.read_bytes()
        for _ in range(25):
            bad = bytearray(whole[:rng.integers(1, len(whole) + 1)])
            for place in rng.integers(0, min(len(bad), 80), 3):
                bad[place] = rng.integers(256)
            path.write_bytes(bad)
            try:
                assert read_image(path).dtype == np.uint8
            except MultiSSLError as error:
                assert error.file == str(path) in str(error) and '\n' not in str(error)


@pytest.mark.parametrize('error', [OSError(errno.EMFILE, 'Too many open files'),
                                   PermissionError(errno.EACCES, 'Permission denied')])
def test_what_the_system_says_is_no_damage(tmp_path, monkeypatch, error):
    """F19"""
    def get(*args, **kwargs):
        raise error

    monkeypatch.setattr(images, 'get', get)
    with pytest.raises(MultiSSLError, match=f'a.png.*{error.strerror}') as caught:
        read_image(tmp_path / 'a.png')
    assert caught.value.file is None


def test_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    """F19"""
    def load(self):
        raise MemoryError

    Image.fromarray(COLOURS).save(tmp_path / 'a.bmp')
    monkeypatch.setattr(Image.Image, 'load', load)
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', load)
    with pytest.raises(MemoryError):
        read_image(tmp_path / 'a.bmp')


def test_all_pictures_of_a_folder_and_the_number_of_the_others(tmp_path, monkeypatch):
    """Bug 27: whatever the case of their suffixes and the depth of their folders."""
    logged = []
    monkeypatch.setattr(images, 'print_log', lambda text, **kwargs: logged.append(text))
    (tmp_path / 'x' / 'y').mkdir(parents=True)
    for name in ('b.jpg', 'a.WEBP', 'x/c.Tif', 'x/y/d.png', '._e.jpg', 'f.txt', 'x/g.txt', 'h'):
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / 'x' / 'above')
    found = [os.path.relpath(path, tmp_path) for path in find_images(tmp_path)]
    assert found == ['a.WEBP', 'b.jpg', 'x/c.Tif', 'x/y/d.png']
    assert logged == [f'{tmp_path}: 4 pictures; left out for their suffix: 2 .txt, '
                      '1 without suffix']
    with pytest.raises(MultiSSLError, match='no picture.*there are 1 .txt'):
        (tmp_path / 'z').mkdir()
        (tmp_path / 'z' / 'a.txt').touch()
        find_images(tmp_path / 'z')


@pytest.mark.parametrize('mode', ['RGB', 'L', 'P', 'RGBA', 'LA', 'CMYK', 'I;16', 'F'])
def test_pictures_decoded_on_demand_are_the_same(scope, tmp_path, mode):
    """Bugs 1 and 11: pretraining opens pictures with another transform, by the same table."""
    path = str(tmp_path / 'a.tif')
    deep = {'I;16': RAMP, 'F': RAMP.astype(np.float32)}
    Image.fromarray(deep[mode]).save(path) if mode in deep else \
        Image.fromarray(COLOURS).convert(mode).save(path)

    def opened():
        transform = TRANSFORMS.build(dict(type='multissl_mm.OpenPicture'))
        return np.asarray(transform(dict(img_path=path))['picture'].decode())

    if mode == 'F':
        with pytest.raises(MultiSSLError, match='a.tif: .*floating point'):
            opened()
    else:
        assert np.array_equal(opened(), read_image(path))
