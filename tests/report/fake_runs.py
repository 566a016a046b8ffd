"""Finished runs as files for the report, without training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from flaxart.config import default_config, to_json
from flaxart.tasks.kinds import labels_json
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax

CLASSES = {
  'artist': ('Anna <b>Bijns</b>', 'Bert & Co', '=Cleo', 'Dürer, Albrecht'),
  'type': ('bowl', 'coin'),
  'material': ('papier', 'zilver', 'porselein'),
}
MODES = {'fine_tuned': ('all', 'sgd'), 'off_the_shelf': ('heads', 'rmsprop')}


def sha256(lines):
  return hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest()


def settings(*, tasks, mode='fine_tuned', model='resnet50', seed=0, **more):
  """The settings of a run; `more` are flat fields such as `optim__learning_rate`."""
  config = default_config()
  config.tasks, config.seed, config.model.name = ','.join(tasks), seed, model
  config.trainable, config.optim.name = MODES.get(mode, MODES['fine_tuned'])
  config.init = 'scratch' if mode == 'scratch' else 'weights.safetensors'
  config.data.dataset, config.data.data_dir = 'collection', '/nowhere'
  config.data.image_size = 224
  for field, value in more.items():
    part, _, name = field.partition('__')
    config[part][name] = value
  return config


def write_run(
  workdir: Path, *, config, skill=0.6, ids=None, groups=None, labels=None, classes=CLASSES,
  kinds=None, epochs=4, version='1.0.0', optional=True, test=True, train=None,
):  # fmt: skip
  """Writes one finished run whose network is right with probability `skill`; returns `workdir`.

  `labels`: `{task: [N]}` of the test split, by default drawn from `ids` alone, so that runs on the
  same ids agree. `optional` False leaves out the files that older runs lack.
  """
  tasks = config.tasks.split(',')
  kinds = kinds or {}
  ids = ids or [f'OBJ-{i}' for i in range(120)]
  groups = groups or [record.rstrip('ab') for record in ids]
  rng = np.random.default_rng([int(config.seed), *config.model.name.encode(), len(tasks)])
  truth_rng = np.random.default_rng(5)
  stored, scores, tables = {'ids': np.array(ids), 'groups': np.array(groups)}, {}, {}
  for task in sorted(classes):
    drawn = truth_rng.integers(-1, len(classes[task]), len(ids))
    own_truth = np.random.default_rng(list(task.encode()))
    if task not in tasks:
      continue
    if kinds.get(task) == 'regression':
      made = regression(rng, own_truth.uniform(1500, 1900, len(ids)), skill)
    elif kinds.get(task) == 'sigmoid':
      made = sigmoid(rng, own_truth.random((len(ids), len(classes[task]))) < 0.4, skill)
    else:
      label = np.asarray(drawn if labels is None else labels[task], np.int32)
      made = softmax(rng, label, classes[task], skill)
      tables[task] = made.pop('tables')
    scores[task] = made.pop('scores')
    stored |= {f'{task}/{name}': value for name, value in made.items()}
  workdir.mkdir(parents=True)
  (workdir / 'config.json').write_text(to_json(config))
  of_kind = {Sigmoid.kind: Sigmoid, Regression.kind: Regression}
  written = [of_kind.get(kinds.get(name), Softmax)(name, classes[name]) for name in tasks]
  (workdir / 'labels.json').write_text(labels_json(written))
  steps = epochs * 640 // config.train.batch_size
  provenance = {
    'version': '0.1.0', 'commit': 'abcdef0123456789', 'dataset': config.data.dataset,
    'dataset_version': version, 'config': config.to_dict(), 'seed': config.seed,
    'splits': {
      'train': {'records': 640, 'sha256': sha256(['train'])},
      'val': {'records': 80, 'sha256': sha256(['val'])},
      'test': {'records': len(ids), 'sha256': sha256(ids)},
    },
    'grouping_rule': 'split by group',
    'hardware': {'device_kind': 'cpu', 'devices': 1, 'cores': 2},
    'weights': {
      'source': 'keras', 'sha256': 'f' * 64, 'model': config.model.name,
      'source_file': 'resnet50_notop.h5', 'licence': 'MIT (Kaiming He)',
      'citation': 'He, Zhang, Ren and Sun, CVPR 2016',
    },
    'packages': {'jax': '0.10.2', 'numpy': '2.4.6'},
  }  # fmt: skip
  of_training = {
    'steps': steps, 'epochs': epochs, 'seconds': 10.0 * epochs, 'best_step': steps,
    'images_per_second': 64.0, 'images_seen': 640 * epochs, 'settings_tried': 1, **(train or {}),
  }  # fmt: skip
  results = {'val': scores, 'test': scores, 'train': of_training, 'provenance': provenance}
  if not test:
    del results['test']
  lines = []
  for epoch in range(1, epochs + 1):
    about, rate = {'step': epoch * steps // epochs, 'wall_s': epoch}, 1 - 0.5**epoch
    losses = {'loss': 2 - rate, **{f'loss/{task}': 2 - rate for task in tasks}}
    values = {
      f'{t}/{k}': rate * v for t in tasks for k, v in scores[t].items() if isinstance(v, float)
    }
    lines += [about | {'split': 'train'} | losses, about | {'split': 'val'} | values]
  (workdir / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
  if optional:
    if test:
      np.savez(workdir / 'predictions_test.npz', **stored)
    write_json(workdir / 'tables.json', {'test': tables})
    entry = {'temperature': 1.25, 'threshold': 0.71, 'precision': 0.9, 'n': 80}
    entry |= {'val_coverage': 0.5, 'val_precision': 0.91}
    write_json(workdir / 'calibration.json', dict.fromkeys(tables, entry))
  write_json(workdir / 'results.json', results)
  return workdir


def softmax(rng, label, classes, skill):
  """Arrays, scores and tables of a task with one label; half of the mistakes are the next class."""
  right = rng.random(len(label)) < skill
  said = np.where(right, label, (label + 1) % len(classes))
  top = (said[:, None] + np.arange(min(5, len(classes)))) % len(classes)
  p = np.sort(rng.dirichlet(np.ones(top.shape[1]), len(label)))[:, ::-1]
  known = label >= 0
  hit = said[known] == label[known]
  recall = [hit[label[known] == c].mean() for c in np.unique(label[known])]
  pairs, counts = np.unique(np.stack([label[known], said[known]]), axis=1, return_counts=True)
  scores = {
    'n': int(known.sum()), 'classes': len(classes), 'loss': 1.0, 'top1': float(hit.mean()),
    'top5': 1.0, 'balanced_accuracy': float(np.mean(recall)), 'floor': 0.25,
    'pixels16_top1': 0.31, 'pixels16_balanced_accuracy': 0.3, 'label_only_top1': 0.42,
    'label_only_balanced_accuracy': 0.4, 'mca': [0.5, 1.0], 'unknown_auroc': None,
  }  # fmt: skip
  of_classes = [
    {'class': name, 'n': int((label == c).sum()), 'predicted': int((said == c).sum())}
    | {'precision': 0.5, 'recall': None, 'f1': 0.5}
    for c, name in enumerate(classes)
  ]
  confusion = [[int(t), int(s), int(n)] for (t, s), n in zip(pairs.T, counts, strict=True)]
  tables = {'per_class': of_classes, 'confusion': confusion}
  kept = {'label': label, 'top': top.astype(np.int32), 'p': p.astype(np.float32)}
  return {**kept, 'scores': scores, 'tables': tables}


def sigmoid(rng, label, skill):
  p = skill * label + rng.random(label.shape) * (1 - skill)
  n = int(label.any(axis=1).sum())
  scores = {'n': n, 'classes': label.shape[1], 'loss': 0.4, 'map': 0.7, 'f1_micro': 0.6}
  return {'label': label, 'p': p.astype(np.float32), 'scores': scores}


def regression(rng, label, skill):
  label = label.astype(np.float32)
  value = label + rng.normal(0, 60 * (1 - skill) + 1, len(label)).astype(np.float32)
  near = float((np.abs(value - label) <= 50).mean())
  scores = {'n': len(label), 'mae': 30.0, 'rmse': 40.0, 'within_50': near}
  return {'label': label, 'value': value, 'scores': scores}


def write_json(path, content):
  path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')


def figure1_grid(
  folder, *, seeds=(0, 1, 2), tasks=('artist', 'type', 'material'), models=('resnet50',)
):
  """The runs of Figure 1, better when fine-tuned."""
  skills = {'fine_tuned': 0.8, 'off_the_shelf': 0.6, 'scratch': 0.4}
  for model in models:
    for task in tasks:
      for mode, skill in skills.items():
        for seed in seeds:
          config = settings(tasks=[task], mode=mode, model=model, seed=seed)
          write_run(folder / f'{model}_{task}_{mode}_s{seed}', config=config, skill=skill)
  return folder


def figure2_grid(folder, *, seeds=(0, 1, 2)):
  """One network with three heads, and three with one, otherwise alike."""
  for seed in seeds:
    for name, tasks in [('multi', ['artist', 'type', 'material']), *((t, [t]) for t in CLASSES)]:
      config = settings(tasks=tasks, seed=seed)
      write_run(folder / f'{name}_s{seed}', config=config, skill=0.8 if name == 'multi' else 0.65)
  return folder
