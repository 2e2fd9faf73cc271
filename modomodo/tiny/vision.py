"""The first stage of the curriculum: the vision tower learns to name what each cell of a board shows."""

import numpy as np
import torch
from torch import Tensor

from modomodo import console
from modomodo.tiny import boards
from modomodo.tiny.boards import CELLS, COLOURS, KINDS, Thing
from modomodo.tiny.dataset import IMAGE_TOKENS, Learner, encode_images
from modomodo.tiny.muon import Optimiser

PARTS = 4  # of a batch, for the threads to share out
HELD_OUT = 100  # boards to measure accuracy on
WARMUP_RATIO = 0.05


def train_vision(learner: Learner, *, steps: int, batch_size: int, seed: int) -> dict[str, float]:
    """Train the tower to output, for each cell, the sum of the embeddings of the words for what is there.

    Returns accuracies on boards with scans that were not trained on.
    """
    model = learner.model
    rng = np.random.default_rng([104729, seed])
    crowds = [_crowd(rng) for _ in range(steps * batch_size // 2)]  # two passes over these
    images, cells = _images(crowds, rng, "train"), _cells(crowds)
    words = CellWords(learner)

    def loss(chosen: np.ndarray) -> Tensor:
        rows = torch.as_tensor(chosen)
        features = encode_images(model, images[rows]).flatten(0, 1)
        distance = words.distance(features, cells[rows].flatten(0, 1))
        return distance * (len(chosen) / batch_size)

    parameters = dict(model.model.visual.named_parameters())
    optimiser = Optimiser(parameters, hidden=".", muon_lr=0.02, adamw_lr=3e-3)
    model.train()
    for step in console.progress(range(steps), "base model, vision"):
        chosen = rng.integers(len(images), size=batch_size)
        learner.pool.backward(loss, np.array_split(chosen, PARTS), optimiser.parameters)
        optimiser.step(step / steps, WARMUP_RATIO, learner.pool)

    crowds = [_crowd(rng) for _ in range(HELD_OUT)]
    with torch.no_grad():
        features = encode_images(model, _images(crowds, rng, "test")).flatten(0, 1)
    return words.accuracies(features, _cells(crowds).flatten(0, 1))


class CellWords:
    """The words for a cell's colour, kind and box, and their embeddings as they were before training."""

    def __init__(self, learner: Learner) -> None:
        def ids(*words: str) -> Tensor:
            return torch.tensor([learner.tokenizer.convert_tokens_to_ids(word) for word in words])

        self.embeddings = learner.model.model.language_model.embed_tokens.weight.detach().clone()
        self.colours, self.kinds = ids(*COLOURS, "white"), ids(*KINDS, "empty")
        self.coordinates = ids(*(str(value) for value in boards.scale((0, 1, 2, 3))), "1000")

    def targets(self, cells: Tensor) -> Tensor:
        """The sum of the words' embeddings, [n, hidden], of cells [n, 6]."""
        corners = [self._rotated(self.coordinates[cells[:, 2 + i]], i) for i in range(4)]
        colours = self.embeddings[self.colours[cells[:, 0]]]
        return colours + self.embeddings[self.kinds[cells[:, 1]]] + torch.stack(corners).sum(0)

    def _rotated(self, words: Tensor, coordinate: int) -> Tensor:
        """Embeddings of coordinates, rotated by 7 dimensions more for each of x1, y1, x2, y2, to tell them apart."""
        return self.embeddings[words].roll(7 * (coordinate + 1), -1)

    def distance(self, features: Tensor, cells: Tensor) -> Tensor:
        """The mean squared error, in units of the targets' variance."""
        return ((features - self.targets(cells)) ** 2).mean() / self.embeddings.var() / 6

    def accuracies(self, features: Tensor, cells: Tensor) -> dict[str, float]:
        """How often the nearest word is the right one, on cells that are not empty.

        The right embeddings of all but one word are subtracted; what remains is compared with the candidates
        for that word.
        """
        full = cells[:, 0] >= 0
        rest = features - self.targets(cells)
        candidates = {
            "colour": (self.embeddings[self.colours], cells[:, 0]),
            "kind": (self.embeddings[self.kinds], cells[:, 1]),
            "right edge": (self._rotated(self.coordinates, 2), cells[:, 4]),
        }
        accuracies = {}
        for name, (embeddings, right) in candidates.items():
            found = torch.cdist(rest + embeddings[right], embeddings).argmin(1)
            accuracies[name] = round((found == right)[full].float().mean().item(), 4)
        return accuracies


def _crowd(rng: np.random.Generator) -> list[Thing]:
    """A board with as many things as fit, of every kind and size."""
    taken = np.zeros((CELLS, CELLS), bool)
    things = []
    for _ in range(int(rng.integers(4, 14))):
        kind = boards.pick(rng, KINDS)
        width, height = (
            int(i) for i in (rng.integers(1, 5, 2) if kind == boards.BLOCK else rng.integers(1, 3, 2))
        )
        row, column = int(rng.integers(CELLS - height + 1)), int(rng.integers(CELLS - width + 1))
        if not taken[row : row + height, column : column + width].any():
            taken[row : row + height, column : column + width] = True
            things.append(Thing(boards.pick(rng, list(COLOURS)), kind, row, column, width, height))
    return things


def _images(crowds: list[list[Thing]], rng: np.random.Generator, split: str) -> Tensor:
    """The drawn boards, [n, 32, 32, 3]."""
    return torch.from_numpy(np.stack([boards.draw(things, rng, split) for things in crowds]))


def _cells(crowds: list[list[Thing]]) -> Tensor:
    """What each cell shows, [n, 16, 6]: colour and kind by index (-1: empty), and the thing's box in cells."""
    cells = np.full((len(crowds), CELLS, CELLS, 6), -1)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    cells[:, :, :, 2:] = np.stack([columns, rows, columns + 1, rows + 1], axis=-1)
    for board, things in zip(cells, crowds, strict=True):
        for thing in things:
            x1, y1, x2, y2 = thing.box
            board[y1:y2, x1:x2] = [list(COLOURS).index(thing.colour), KINDS.index(thing.kind), x1, y1, x2, y2]
    return torch.from_numpy(cells.reshape(len(crowds), IMAGE_TOKENS, 6))
