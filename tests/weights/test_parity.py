"""Our networks, files and preprocessing against the originals themselves."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from flaxart.machine.target import use_target
from flaxart.models import card_of
from flaxart.weights import file as weights_file
from flaxart.weights import originals, parity
from flaxart.weights.convert import convert, preprocess_of
from flaxart.weights.load import load_trunk
from flaxart.weights.torch_file import read_state

pytestmark = pytest.mark.parity


def need(source: str) -> None:
  """Skips with the reason where the original is not installed."""
  reason = originals.missing_peer(source)
  if reason:
    pytest.skip(reason)


def gradient_error(half: list[np.ndarray], single: list[np.ndarray]) -> float:
  """Of all parameters together, and of those with one axis (biases, scales): the larger one."""
  pairs = list(zip(half, single, strict=True))
  vectors = [(a, b) for a, b in pairs if b.ndim == 1]
  return max(
    parity.relative(*(np.concatenate([x.ravel() for x in xs]) for xs in zip(*some, strict=True)))
    for some in ([(b, a) for a, b in pairs], [(b, a) for a, b in vectors])
  )


def gradient_errors(model: str, folder: Path) -> tuple[float, float]:
  """Errors of our gradients in bfloat16 and of PyTorch's, each against its own in float32."""
  import torch

  saved = originals.torch_original(model, 'torchvision', seed=0).save(folder)
  net = originals.torch_net(model, 'torchvision').eval()
  net.load_state_dict(torch.load(saved))
  weights_file.write(convert(model, source='torchvision', path=saved), folder / 'converted')
  trunk = load_trunk(folder / 'converted').module
  graph, params, stats = nnx.split(trunk, nnx.Param, nnx.BatchStat)
  rng = np.random.default_rng(0)
  x = rng.standard_normal((8, 64, 64, 3), np.float32)
  weights = rng.standard_normal((8, trunk.features), np.float32)

  def ours(dtype):
    def loss(params, x):
      module = nnx.merge(graph, params, stats, copy=True)
      module.dtype = dtype
      return jnp.sum(module(x, train=False) * weights)

    with use_target('gpu'):
      return list(map(np.asarray, jax.tree.leaves(jax.jit(jax.grad(loss))(params, x))))

  last, maps = net.features if model == 'vgg19' else net.layer4, []
  last.register_forward_hook(lambda module, inputs, output: maps.append(output))

  def theirs(half):
    net.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
      net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    (maps.pop().float().mean((2, 3)) * torch.from_numpy(weights)).sum().backward()
    return [p.grad.numpy().copy() for p in net.parameters() if p.grad is not None]

  return (
    gradient_error(ours(jnp.bfloat16), ours(jnp.float32)),
    gradient_error(theirs(True), theirs(False)),
  )


@pytest.fixture(scope='module')
def elsewhere() -> Iterator[ProcessPoolExecutor]:
  """A process whose memory ends with it, after three networks at most."""
  spawn = multiprocessing.get_context('spawn')
  with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=3) as pool:
    yield pool


@pytest.mark.parametrize('model', ['vgg19', 'resnet50'])
def test_gradients_in_bfloat16_err_no_more_than_pytorchs(model, tmp_path, elsewhere):
  need('torchvision')
  ours, theirs = elsewhere.submit(gradient_errors, model, tmp_path).result()
  assert 0.01 < ours < 1.5 * theirs


PAIRS = parity.pairs()  # before tests add their toy


@pytest.mark.parametrize(('model', 'source'), PAIRS)
def test_networks_compute_what_their_originals_compute(model, source, elsewhere):
  need(source)
  result = elsewhere.submit(parity.measure, model, source).result()
  figures = {name: value for name, value in result.items() if isinstance(value, float)}
  inner = originals.inner_maps(model)
  assert set(figures) == {
    'features', 'logits', 'features odd', *inner, *(f'{name} odd' for name in inner),
  }  # fmt: skip
  assert all(value <= parity.LIMIT for value in figures.values()), figures


def hashes_of_keras_files(model: str, folder: Path) -> list[str]:
  """Of the converted network, from each format in which Keras saves it."""
  keras = originals.import_keras()
  keras.layers.Conv2D(1, 1)
  keras.layers.BatchNormalization()  # two layers that some other model of the session had
  net = originals.original(model, 'keras').net
  net.save_weights(folder / 'a.weights.h5')
  net.save(folder / 'a.keras')
  net.save(folder / 'a.h5')  # a whole model in the legacy format
  hashes = []
  for path in folder.iterdir():
    weights = convert(model, source='keras', path=path, keep_top=True)
    assert weights.top['predictions/kernel'].shape == (2048, 1000)
    hashes.append(weights.about['sha256'])
  return hashes


@pytest.mark.parametrize('model', ['xception', 'inception_v3'])
def test_every_keras_format_with_running_numbers_that_do_not_start_at_zero(
  model, tmp_path, elsewhere
):
  need('keras')
  found = elsewhere.submit(hashes_of_keras_files, model, tmp_path).result()
  assert len(found) == 3 and len(set(found)) == 1


def test_both_pth_formats_are_read_as_torch_reads_them(tmp_path):
  need('torchvision')
  import torch

  state = {'a': torch.arange(6.0).reshape(2, 3).T, 'b': torch.tensor(3), 'c': torch.ones(2).half()}
  state['shared'] = state['a'][1:]
  state['parameter'] = torch.nn.Parameter(torch.rand(3, 2, 1, 1))
  for name, new in (('new.pth', True), ('old.pth', False)):
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=new)
    read = read_state(tmp_path / name)
    assert list(read) == list(state)
    for key, tensor in state.items():
      np.testing.assert_array_equal(read[key], tensor.detach().numpy())
      assert read[key].dtype == tensor.detach().numpy().dtype


def picture(width: int = 403, height: int = 331) -> np.ndarray:
  """Smooth colours with noise, so that crops, resizes and channel orders all show."""
  y, x = np.mgrid[0:height, 0:width]
  base = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], -1)
  return np.clip(base + np.random.default_rng(0).normal(0, 25, base.shape), 0, 255).astype(np.uint8)


def ours(preprocess, image: np.ndarray) -> np.ndarray:
  square = preprocess.square(Image.fromarray(image))
  return np.asarray(preprocess.apply(jnp.asarray(square)[None]))[0]


@pytest.mark.parametrize('model', ['vgg19', 'inception_v3', 'xception', 'resnet50'])
def test_preprocessing_equals_kerass(model, tmp_path):
  need('keras')
  keras = originals.import_keras()
  module = getattr(keras.applications, model)
  preprocess = card_of(model).preprocess['keras']
  Image.fromarray(picture()).save(tmp_path / 'p.png')
  loaded = keras.utils.load_img(
    tmp_path / 'p.png', target_size=(preprocess.size,) * 2, interpolation='bilinear'
  )
  theirs = module.preprocess_input(np.asarray(loaded, np.float32))
  np.testing.assert_allclose(ours(preprocess, picture()), theirs, atol=2e-5)


@pytest.mark.parametrize(
  ('model', 'generation', 'name'),
  [
    ('vgg19', 'VGG19_Weights.IMAGENET1K_V1', 'vgg19-dcbb9e9d.pth'),
    ('resnet50', 'ResNet50_Weights.IMAGENET1K_V1', 'resnet50-0676ba61.pth'),
    ('resnet50', 'ResNet50_Weights.IMAGENET1K_V2', 'resnet50-11ad3fa6.pth'),
    ('inception_v3', 'Inception_V3_Weights.IMAGENET1K_V1', 'inception_v3_google-0cc3c7bd.pth'),
  ],
)
@pytest.mark.parametrize('size', [(403, 331), (257, 600)])
def test_preprocessing_equals_torchvisions(model, generation, name, size):
  need('torchvision')
  import torch

  vision = originals.import_torchvision()
  enum, member = generation.split('.')
  weights = getattr(getattr(vision.models, enum), member)
  assert name in weights.url
  theirs = weights.transforms()(Image.fromarray(picture(*size)))
  if model == 'inception_v3':  # with these weights torchvision's network changes its input first
    net = vision.models.inception_v3(weights=None, init_weights=False, transform_input=True)
    theirs = net._transform_input(theirs[None])[0]
  preprocess = preprocess_of(model, 'torchvision', Path(name))
  assert isinstance(theirs, torch.Tensor)
  np.testing.assert_allclose(
    ours(preprocess, picture(*size)), theirs.numpy().transpose(1, 2, 0), atol=1e-5
  )


@pytest.mark.parametrize(
  ('model', 'name'),
  [
    ('vgg19', 'vgg19'),
    ('inception_v3', 'inception_v3'),
    ('xception', 'legacy_xception'),
    ('resnet50', 'resnet50'),
  ],
)
def test_preprocessing_equals_timms(model, name):
  need('timm')
  originals.import_torchvision()
  import timm

  cfg = timm.get_pretrained_cfg(name).to_dict()
  transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=cfg))
  theirs = transform(Image.fromarray(picture())).numpy().transpose(1, 2, 0)
  preprocess = preprocess_of(model, 'timm', Path('model.safetensors'))
  np.testing.assert_allclose(ours(preprocess, picture()), theirs, atol=1e-5)


def test_the_page_names_every_pair():
  page = (Path(__file__).parents[2] / 'docs' / 'backbones.md').read_text(encoding='utf-8')
  for model, source in PAIRS:
    assert f'| {model} | {source} |' in page
  assert 'python -m flaxart.weights.parity' in page


def test_figures_see_a_difference():
  """Checks that the measure can fail."""
  a = np.random.default_rng(0).normal(size=(2, 512))
  assert parity.relative(a, a) == 0
  b = a.copy()
  b[0, 0] += 0.1
  assert parity.relative(a, b) > parity.LIMIT
