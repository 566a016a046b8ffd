"""Downloading from right, wrong, slow and failing servers, and finding existing files."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import http.server
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import sources

from flaxart.machine.files import user_cache
from flaxart.models import cards
from flaxart.models.card import Official
from flaxart.models.vgg import VGG19
from flaxart.weights import download, file, find
from flaxart.weights.download import fetch
from flaxart.weights.find import find_imagenet
from tfds_rijks.errors import UserError

CONTENT = bytes(range(256)) * 400  # 100 kB


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves CONTENT as the path says; counts requests."""

  ranges: list = []  # noqa: RUF012  (reset by the fixture)

  def do_GET(self) -> None:
    how = self.path.split('/')[1]
    asked = self.headers.get('Range')
    Handler.ranges.append(asked)
    body, status = CONTENT, 200
    if how == 'gone':
      self.send_error(404)
      return
    if how == 'wrong':
      body = CONTENT[:-1] + b'?'
    if how == 'long':
      body = CONTENT + b'more'
    if asked and how != 'whole':  # `whole` ignores ranges, as some servers do
      body, status = body[int(asked.removeprefix('bytes=').rstrip('-')) :], 206
    self.send_response(status)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    if how == 'cut':
      body = body[: len(body) // 2]
    if how == 'late':
      time.sleep(0.3)
    if how == 'slow':
      self.wfile.write(body[:1000])
      self.wfile.flush()
      time.sleep(1.0)
      return
    self.wfile.write(body)

  def log_message(self, *_args) -> None:
    """Tests are quiet."""


def official_file(model: str) -> Official:
  return cards()[model].official[1]


@pytest.fixture(scope='module')
def address():
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture
def serve(address):
  Handler.ranges = []
  md5 = hashlib.md5(CONTENT).hexdigest()
  return lambda how: Official(f'{address}/{how}/weights.h5', size=len(CONTENT), md5=md5)


def test_a_right_file_is_fetched_once(serve, tmp_path):
  path = fetch(serve('right'), tmp_path / 'new')
  assert path.read_bytes() == CONTENT
  assert {p.name for p in path.parent.iterdir()} == {'weights.h5', '.weights.h5.lock'}
  assert fetch(serve('right'), tmp_path / 'new') == path
  assert Handler.ranges == [None]  # the second call made no request


def test_one_of_several_processes_fetches_a_file(serve, tmp_path):
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    paths = list(pool.map(fetch, [serve('late')] * 4, [tmp_path] * 4))
  assert {path.read_bytes() for path in paths} == {CONTENT}
  assert Handler.ranges == [None]


def test_a_folder_that_cannot_be_written_is_named(serve, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match=r'file/weights: cannot be written .*; set XDG_CACHE_HOME'):
    fetch(serve('right'), tmp_path / 'file' / 'weights')


@pytest.mark.parametrize('how', ['right', 'whole'])
def test_an_interrupted_download_is_continued(how, serve, tmp_path):
  with pytest.raises(UserError, match='interrupted after 51,200 of 102,400 bytes; run it again'):
    fetch(serve('cut'), tmp_path)
  (part,) = tmp_path.glob('.weights.h5.*.part')
  assert part.stat().st_size == 51_200
  assert fetch(serve(how), tmp_path).read_bytes() == CONTENT
  assert Handler.ranges == [None, 'bytes=51200-']


@pytest.mark.parametrize(
  ('how', 'message'),
  [
    ('wrong', 'found MD5 .*, expected'),
    ('long', 'sends more than the expected 102,400 bytes'),
    ('gone', 'Not Found; fetch http'),
  ],
)
def test_another_file_is_refused_and_not_kept(how, message, serve, tmp_path):
  with pytest.raises(UserError, match=message) as error:
    fetch(serve(how), tmp_path)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'weights.h5').exists()
  assert fetch(serve('right'), tmp_path).read_bytes() == CONTENT  # and is not in the way


def test_a_silent_server_is_given_up(serve, tmp_path):
  began = time.monotonic()
  with pytest.raises(UserError, match='timed out'):
    fetch(serve('slow'), tmp_path, timeout_s=0.3)
  assert time.monotonic() - began < 0.9


def test_without_network_the_message_says_what_to_copy_where(tmp_path):
  lost = dataclasses.replace(official_file('resnet50'), url='http://127.0.0.1:9/resnet50_notop.h5')
  with pytest.raises(UserError) as error:
    fetch(lost, tmp_path)
  text = str(error.value)
  assert 'refused' in text and '\n' not in text
  for part in (lost.url, 'resnet50_notop.h5', '94,765,736 bytes', lost.md5, str(tmp_path)):
    assert part in text


def test_a_damaged_file_in_the_cache_is_named(serve, tmp_path):
  (tmp_path / 'weights.h5').write_bytes(CONTENT[:-10])
  with pytest.raises(UserError, match='found 102,390 bytes, expected 102,400'):
    fetch(serve('right'), tmp_path)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
  """A user without any caches, no network, and a VGG19 small in one respect: it is known here."""
  for name in (
    find.ENVIRONMENT,
    'XDG_CACHE_HOME',
    'KERAS_HOME',
    'TORCH_HOME',
    'HF_HOME',
    'HF_HUB_CACHE',
  ):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))

  def no_network(*_args, **_kwargs):
    raise OSError('network is unreachable')

  monkeypatch.setattr(download.urllib.request, 'urlopen', no_network)
  return tmp_path


def put_keras(folder: Path, monkeypatch) -> Path:
  """The official VGG19 of this test, with its size and hash known as the official ones are."""
  folder.mkdir(parents=True, exist_ok=True)
  name = official_file('vgg19').name
  path = sources.write_legacy(folder / name, sources.numbered(sources.keras_layers('vgg19')))
  data = path.read_bytes()
  md5 = hashlib.md5(data).hexdigest()
  known = Official(f'http://127.0.0.1:9/{name}', size=len(data), md5=md5)
  keras, *others = VGG19.card.sources
  keras = dataclasses.replace(keras, files=(known,))
  card = dataclasses.replace(VGG19.card, sources=(keras, *others))
  monkeypatch.setattr(VGG19, 'card', card)
  return path


def put_torch(folder: Path, monkeypatch) -> None:
  """A safetensors file under the hub's own layout, its blob named by its SHA-256."""
  blobs = folder / 'models--timm--resnet50.a1_in1k' / 'blobs'
  snapshot = folder / 'models--timm--resnet50.a1_in1k' / 'snapshots' / 'abc'
  blobs.mkdir(parents=True)
  snapshot.mkdir(parents=True)
  safetensors.numpy.save_file(sources.torch_state('resnet50', 'timm'), blobs / 'new')
  blob = (blobs / 'new').rename(blobs / file.sha256_of_file(blobs / 'new'))
  (snapshot / 'model.safetensors').symlink_to(blob)


def test_keras_cache_is_found_checked_and_converted_once(home, monkeypatch):
  path = put_keras(home / '.keras' / 'models', monkeypatch)
  converted = find_imagenet('vgg19')
  assert converted.parent == home / '.cache' / 'flaxart' / 'weights'
  weights = file.read(converted)
  assert (weights.model, weights.source, weights.source_file) == ('vgg19', 'keras', path.name)
  stamp = converted.stat().st_mtime_ns
  assert find_imagenet('vgg19') == converted and converted.stat().st_mtime_ns == stamp
  path.write_bytes(path.read_bytes()[:-1] + b'x')
  with pytest.raises(UserError, match='found MD5'):
    find_imagenet('vgg19')


def test_hub_cache_is_found_and_checked(home, monkeypatch):
  hub = home / '.cache' / 'huggingface' / 'hub'
  put_torch(hub, monkeypatch)
  weights = file.read(find_imagenet('resnet50'))
  assert (weights.source, weights.variant) == ('timm', 'torchvision')
  blob = next((hub / 'models--timm--resnet50.a1_in1k' / 'blobs').iterdir())
  blob.write_bytes(blob.read_bytes()[:-1] + b'x')
  with pytest.raises(UserError, match='found SHA-256'):
    find_imagenet('resnet50')


def test_torch_hub_files_are_checked_against_their_names(home):
  folder = home / '.cache' / 'torch' / 'hub' / 'checkpoints'
  folder.mkdir(parents=True)
  (folder / 'resnet50-11ad3fa6.pth').write_bytes(b'not it')
  with pytest.raises(UserError, match=r'resnet50-11ad3fa6.pth: found SHA-256 .*expected 11ad3fa6'):
    find_imagenet('resnet50')


def test_the_environment_comes_first(home, monkeypatch):
  put_keras(home / '.keras' / 'models', monkeypatch)
  mine = home / 'mine'
  mine.mkdir()
  (mine / 'vgg19.safetensors').write_bytes(b'checked when it is loaded')
  for value in (mine, mine / 'vgg19.safetensors'):
    monkeypatch.setenv(find.ENVIRONMENT, str(value))
    assert find_imagenet('vgg19') == mine / 'vgg19.safetensors'
  with pytest.raises(UserError, match='has none of resnet50'):
    monkeypatch.setenv(find.ENVIRONMENT, str(mine))
    find_imagenet('resnet50')
  monkeypatch.setenv(find.ENVIRONMENT, str(home / 'nowhere'))
  with pytest.raises(UserError, match='does not exist'):
    find_imagenet('vgg19')


def test_originals_in_the_environments_folder_are_converted(home, monkeypatch):
  put_keras(home / 'mine', monkeypatch)
  monkeypatch.setenv(find.ENVIRONMENT, str(home / 'mine'))
  assert file.read(find_imagenet('vgg19')).source == 'keras'


@pytest.mark.parametrize('model', list(cards()))
def test_with_nothing_anywhere_one_line_says_what_to_do(model, home):
  known = official_file(model)
  for allowed in (True, False):
    with pytest.raises(UserError) as error:
      find_imagenet(model, download=allowed)
    text = str(error.value)
    assert '\n' not in text and ('unreachable' in text) == allowed
    for part in (
      known.url,
      known.name,
      f'{known.size:,} bytes',
      known.md5,
      '.cache/flaxart',
      '$FLAXART_WEIGHTS',
    ):
      assert part in text


def test_download_command_converts_what_it_fetched(home, monkeypatch, capsys):
  put_keras(user_cache('weights'), monkeypatch)  # as if fetched
  target = home / 'out.safetensors'
  monkeypatch.setattr('sys.argv', ['download', '--model=vgg19', f'--output={target}'])
  download.main()
  assert 'CC BY 4.0' in capsys.readouterr().out
  assert np.isfinite(file.read(target).tensors['stage1/conv1/kernel']).all()
  monkeypatch.setattr('sys.argv', ['download', '--model=alexnet', f'--output={target}'])
  with pytest.raises(UserError, match='expected one of vgg19'):
    download.main()
