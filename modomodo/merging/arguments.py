"""The arguments that the scripts which merge experts share."""

import argparse
from pathlib import Path

from modomodo.files import read_json
from modomodo.merging.experts import Experts, read_experts


def add_experts(parser: argparse.ArgumentParser) -> None:
    """--base, --base-info, --experts and --step."""
    parser.add_argument("--base", type=Path, required=True, help="the base model's directory")
    parser.add_argument(
        "--base-info", type=Path, required=True, help="its JSON, with the digest of the weights"
    )
    parser.add_argument(
        "--experts", type=Path, required=True, nargs="+", help="run.json of the single of each domain"
    )
    parser.add_argument("--step", type=int, help="the experts' checkpoint; the last scored step if absent")


def experts_of(arguments: argparse.Namespace) -> Experts:
    """The experts that a script was given. Raises InputError for those that do not belong together."""
    weights = read_json(arguments.base_info, "weights")["weights"]
    return read_experts(arguments.base, weights, arguments.experts, arguments.step)
