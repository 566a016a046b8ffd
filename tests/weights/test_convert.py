"""Conversion without the originals: order, names, strictness, and every kind of bad file."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import sources

from flaxart.weights import file, keras_file, names
from flaxart.weights.convert import (
  convert,
  from_keras,
  from_torch,
  main,
  source_of,
  timm_preprocess,
)
from flaxart.weights.load import read_trunk
from flaxart.weights.torch_file import read_state
from tfds_rijks.errors import UserError


def keras_tensors(model: str, path: Path) -> dict[str, np.ndarray]:
  trunk = names.abstract_trunk(model, 'keras')
  tensors, top = from_keras(trunk, keras_file.read_layers(path), what=str(path))
  assert not top
  file.check_names('x', expected=names.expected_shapes(trunk), found=tensors)
  return tensors


@pytest.mark.parametrize('model', ['vgg19', 'inception_v3', 'xception', 'resnet50'])
def test_all_four_keras_formats_say_the_same(model, tmp_path):
  layers = sources.keras_layers(model)
  paths = [
    sources.write_legacy(tmp_path / 'weights.h5', sources.numbered(layers)),
    sources.write_legacy(
      tmp_path / 'model.h5', sources.numbered(layers, first=94), whole_model=True
    ),
    sources.write_keras3(tmp_path / 'm.weights.h5', sources.numbered(layers)),
    sources.write_keras3(tmp_path / 'm.keras', sources.numbered(layers)),
  ]
  hashes = {file.sha256_of_tensors(keras_tensors(model, path)) for path in paths}
  assert len(hashes) == 1


def test_order_decides_and_not_the_running_number(tmp_path):
  """`conv2d_10` comes after `conv2d_9`, and after `conv2d` of the same session comes `conv2d_1`."""
  layers = sources.keras_layers('xception')
  stem = layers[0][1][0]
  for first in (0, 7, 95):
    path = sources.write_legacy(tmp_path / f'{first}.h5', sources.numbered(layers, first=first))
    np.testing.assert_array_equal(keras_tensors('xception', path)['block1/conv1/kernel'], stem)
  # The order of `layer_names`, even where names say otherwise.
  renamed = [(f'layer_{1000 - i}', arrays) for i, (_, arrays) in enumerate(layers)]
  path = sources.write_legacy(tmp_path / 'renamed.h5', renamed)
  np.testing.assert_array_equal(keras_tensors('xception', path)['block1/conv1/kernel'], stem)


@pytest.mark.parametrize(
  ('model', 'source'),
  [
    ('vgg19', 'torchvision'),
    ('inception_v3', 'torchvision'),
    ('resnet50', 'torchvision'),
    ('xception', 'timm'),
  ],
)
def test_state_dicts_are_used_up(model, source):
  of = source_of(model, source)
  trunk = names.abstract_trunk(model, of.variant)
  state = sources.torch_state(model, source)
  tensors, _ = from_torch(trunk, state, source=of, what='x')
  file.check_names('x', expected=names.expected_shapes(trunk), found=tensors)
  name = next(n for n in state if n.endswith('weight'))
  for broken, message in (
    ({k: v for k, v in state.items() if k != name}, f'1 missing: - {name}'),
    ({**state, 'extra.weight': np.zeros(3)}, r'1 unused: \+ extra.weight \(3,\)'),
  ):
    with pytest.raises(UserError, match=message):
      from_torch(trunk, broken, source=of, what='x')


def test_command_writes_a_file_that_loads(tmp_path, monkeypatch, capsys):
  source, target = timm_resnet50(tmp_path), tmp_path / 'out' / 'w.safetensors'
  state, command = safetensors.numpy.load_file(source), flags(tmp_path, 'resnet50', 'timm', source)
  monkeypatch.setattr(sys, 'argv', command)
  main()
  weights = file.read(target)
  assert 'resnet50 (torchvision), 23,561,152 parameters' in capsys.readouterr().out
  assert not weights.top and weights.source_sha256 == file.sha256_of_file(source)
  assert weights.preprocess.interpolation == 'bicubic' and 'Apache-2.0' in weights.licence
  monkeypatch.setattr(sys, 'argv', [*command, '--top'])
  main()
  assert file.read(target).top['predictions/kernel'].shape == (2048, sources.CLASSES)

  trunk, weights = read_trunk(target)
  assert weights.source == 'timm' and weights.citation.startswith('He, Zhang')
  np.testing.assert_array_equal(trunk.stem.kernel[...], state['conv1.weight'].transpose(2, 3, 1, 0))
  found = trunk.stage4.block3.conv3.norm.var[...]
  np.testing.assert_array_equal(found, state['layer4.2.bn3.running_var'])


def test_configuration_beside_a_timm_file_decides_the_preprocessing(tmp_path):
  source, config = timm_resnet50(tmp_path), tmp_path / 'config.json'
  config.write_text(
    '{"pretrained_cfg": {"input_size": [3, 288, 288], "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5],'
    ' "std": [0.5, 0.5, 0.5], "interpolation": "bilinear"}}'
  )
  preprocess = convert('resnet50', source='timm', path=source).preprocess
  assert (preprocess.size, preprocess.resize, preprocess.interpolation) == (288, 320, 'bilinear')
  assert preprocess.mean == (127.5,) * 3
  for text, line in (
    (
      '{"architecture": "inception_v3", "pretrained_cfg": {"input_size": [3, 299, 299]}}',
      'is of inception_v3, beside weights of resnet50',
    ),
    ('{}', 'not a timm configuration'),
  ):
    config.write_text(text)
    with pytest.raises(UserError, match=line):
      convert('resnet50', source='timm', path=source)


def wrong(folder: Path, name: str, data: bytes = b'x') -> Path:
  (folder / name).write_bytes(data)
  return folder / name


def cut(path: Path, share: float) -> Path:
  return wrong(path.parent, path.name, path.read_bytes()[: int(path.stat().st_size * share)])


def legacy(folder: Path, layers: list) -> Path:
  return sources.write_legacy(folder / 'x.h5', sources.numbered(layers))


def vgg19_but(change) -> list:
  """VGG19 whose kernels, by the number of their layer, are `change`d."""
  layers = enumerate(sources.keras_layers('vgg19'))
  return [(name, [change(i, kernel), *rest]) for i, (name, [kernel, *rest]) in layers]


def timm_resnet50(folder: Path) -> Path:
  return state_with(folder / 'x.safetensors')


KERNEL = np.zeros((3, 3, 3, 4), np.float32)
BAD = {  # model and source, message, file
  'another network': (
    'resnet50 keras', 'not the weights of resnet50 from keras: ',
    lambda d: legacy(d, sources.keras_layers('xception')),
  ),
  'another state dict': ('vgg19 timm', 'missing', timm_resnet50),
  'a wrong shape': (
    'vgg19 keras', r'! stage1/conv2/kernel float32 \(3, 3, 64, 63\), expected',
    lambda d: legacy(d, vgg19_but(lambda i, kernel: kernel[..., :63] if i == 1 else kernel)),
  ),
  'a wrong dtype': (
    'vgg19 keras', r'! stage1/conv1/kernel float16',
    lambda d: legacy(d, vgg19_but(lambda i, kernel: kernel.astype(np.float16))),
  ),
  'an unknown layer': (
    'vgg19 keras', 'layer dense_3d has arrays', lambda d: legacy(d, [('dense_3d', [KERNEL[0]])])
  ),
  'a nested model': (
    'vgg19 keras', 'is itself a model',
    lambda d: sources.write_keras3(d / 'x.weights.h5', [('functional/layers/conv2d', [KERNEL])]),
  ),
  'a truncated h5': (
    'vgg19 keras', 'cannot be read as Keras weights',
    lambda d: cut(legacy(d, sources.keras_layers('vgg19')), 0.5),
  ),
  'a truncated archive': (
    'vgg19 keras', 'cannot be read as Keras weights',
    lambda d: cut(sources.write_keras3(d / 'x.keras', [('conv2d', [KERNEL])]), 0.9),
  ),
  'text': (
    'vgg19 keras', 'cannot be read as Keras weights', lambda d: wrong(d, 'x.h5', b'no HDF5')
  ),
  'nothing': ('vgg19 torchvision', 'is empty', lambda d: wrong(d, 'x.pth', b'')),
  'a text as pth': (
    'vgg19 torchvision', 'cannot be read as a PyTorch state dict',
    lambda d: wrong(d, 'x.pth', b'hello, I am not a pickle'),
  ),
  'a hostile pickle': (
    'vgg19 torchvision', r'wants to run (posix|nt)\.system',
    lambda d: sources.write_hostile_pth(d / 'x.pth'),
  ),
  'an absurd header': (
    'vgg19 timm', 'safetensors header of',
    lambda d: wrong(d, 'x.safetensors', b'\xff' * 7 + b'\x7f{'),
  ),
  'xception of torchvision': (
    'xception torchvision', 'torchvision has no Xception', lambda d: wrong(d, 'x.pth')
  ),
  'an unknown model': ('alexnet keras', "--model: found 'alexnet'", lambda d: wrong(d, 'x.h5')),
  'an unknown source': ('vgg19 caffe', "--source: found 'caffe'", lambda d: wrong(d, 'x.h5')),
  'a missing file': ('vgg19 keras', 'no such file', lambda d: d / 'x.h5'),
}  # fmt: skip


def flags(folder: Path, model: str, source: str, path: Path) -> list[str]:
  """The command line; it writes `out/w.safetensors` in the folder."""
  output = f'--output={folder / "out" / "w.safetensors"}'
  return ['convert', f'--model={model}', f'--source={source}', f'--input={path}', output]


@pytest.mark.parametrize('case', BAD)
def test_bad_input_is_one_line_and_writes_nothing(case, tmp_path, monkeypatch):
  pair, message, make = BAD[case]
  monkeypatch.setattr(sys, 'argv', flags(tmp_path, *pair.split(), make(tmp_path)))
  with pytest.raises(UserError, match=message) as error:
    main()
  assert '\n' not in str(error.value) and len(str(error.value)) < 2000
  assert not (tmp_path / 'out').exists()
  assert not Path('/tmp/flaxart-must-never-exist').exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
  import torch_pickle

  path = torch_pickle.write(tmp_path / 'x.pth', numbers=6, size=(2, 3), stride=(3, 1))
  np.testing.assert_array_equal(read_state(path)['w'], np.arange(6).reshape(2, 3))
  path = torch_pickle.write(tmp_path / 'y.pth', numbers=6, size=(2, 3), stride=(4, 1))
  with pytest.raises(UserError, match='reaches beyond its 6 stored numbers'):
    read_state(path)


def test_an_archive_that_grows_is_refused(tmp_path):
  path = tmp_path / 'bomb.pth'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('archive/data.pkl', b'')
    archive.writestr('archive/data/0', b'\0' * 10_000_000)
  with pytest.raises(UserError, match='more than twice its size'):
    read_state(path)


def keras_of_windows(path: Path) -> Path:
  """Keras joins names with the path separator of its machine."""
  sources.write_keras3(path, sources.numbered(sources.keras_layers('vgg19')))
  with h5py.File(path, 'a') as weights:
    for name in list(weights['layers']):
      weights.move(f'layers/{name}', f'layers\\{name}')
    del weights['layers']
  return path


def test_names_that_windows_wrote_are_read(tmp_path):
  written = sources.write_keras3(
    tmp_path / 'a.weights.h5', sources.numbered(sources.keras_layers('vgg19'))
  )
  tensors = keras_tensors('vgg19', keras_of_windows(tmp_path / 'b.weights.h5'))
  assert file.sha256_of_tensors(tensors) == file.sha256_of_tensors(keras_tensors('vgg19', written))


def state_with(path: Path, *, name: str = '', value=None, like=np.float32) -> Path:
  state = sources.torch_state('resnet50', 'timm')
  if name:
    state[name] = np.full_like(state[name], value)
  safetensors.numpy.save_file({k: v.astype(like) for k, v in state.items()}, path)
  return path


def old_resnet(path: Path) -> Path:
  layers = sources.numbered(sources.keras_layers('resnet50'))
  return sources.write_legacy(
    path, [('res2a_branch1' if n == 'conv2d_1' else n, a) for n, a in layers]
  )


def bfloat16_pickle(path: Path) -> Path:
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', b'\x80\2ctorch\nBFloat16Storage\n.')
  return path


@pytest.mark.parametrize(
  ('match', 'source', 'make'),
  [
    ('is the ResNet50 of early Keras', 'keras', lambda f: old_resnet(f / 'a.h5')),
    ('holds BFloat16 tensors.*as float32', 'torchvision', lambda f: bfloat16_pickle(f / 'a.pth')),
    ('holds BF16, which flaxart does not read; save the tensors as float32', 'timm',
     lambda f: state_with(f / 'a.safetensors', like=ml_dtypes.bfloat16)),
    (r'stem/norm/var holds -1, expected variances of 0 or more', 'timm',
     lambda f: state_with(f / 'a.safetensors', name='bn1.running_var', value=-1)),
    (r'stem/norm/var holds NaN or infinity', 'timm',
     lambda f: state_with(f / 'a.safetensors', name='bn1.running_var', value=np.nan)),
    (r'stage1/block1/conv1/kernel holds NaN or infinity', 'timm',
     lambda f: state_with(f / 'a.safetensors', name='layer1.0.conv1.weight', value=np.inf)),
  ],
)  # fmt: skip
def test_weights_that_cannot_be_right_are_refused_by_name(match, source, make, tmp_path):
  with pytest.raises(UserError, match=match):
    convert('resnet50', source=source, path=make(tmp_path))


def test_crop_mode_of_timm_is_obeyed_or_refused(tmp_path):
  config = {'input_size': [3, 224, 224], 'mean': [0.5] * 3, 'std': [0.5] * 3}
  config |= {'interpolation': 'bicubic'}
  for mode, share, fit in (
    ('center', 0.9, 'crop'),
    ('squash', 1.0, 'squash'),
    ('squash', 0.9, ''),
    ('border', 1.0, ''),
  ):
    text = json.dumps({'pretrained_cfg': config | {'crop_mode': mode, 'crop_pct': share}})
    (tmp_path / 'config.json').write_text(text, encoding='utf-8')
    if fit:
      assert timm_preprocess({'resnet50'}, tmp_path / 'config.json').fit == fit
    else:
      with pytest.raises(UserError, match=f"config.json: crop_mode is '{mode}'"):
        timm_preprocess({'resnet50'}, tmp_path / 'config.json')
