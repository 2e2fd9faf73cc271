"""The prediction row: what a checkpoint answered to one question."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modomodo.errors import InputError
from modomodo.examples import first_problem
from modomodo.files import MEND, read_jsonl

RECIPE = 1  # raise when the same settings would give other predictions: all are then made anew


class Prediction(BaseModel):
    """A line of `predictions/<mixture>/<seed>/<step>/<benchmark>.jsonl`."""

    model_config = ConfigDict(extra="forbid")

    id: str
    completion: str = Field(description="The text as generated.")
    answer: str | None = Field(description="What the format's regular expression finds; null when it fails.")
    finish_reason: str = Field(description="'stop', or 'length' when the token limit cut it.")
    tokens: int = Field(ge=0, description="Length of the completion.")


def read_predictions(path: str | Path) -> Iterator[Prediction]:
    """Predictions in file order. Raises InputError naming file, line and field."""
    for number, row in read_jsonl(path):
        try:
            yield Prediction.model_validate(row)
        except ValidationError as error:
            raise InputError(f"{path}:{number}: {first_problem(error)}: {MEND}") from None
