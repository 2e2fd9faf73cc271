"""The arguments that the scripts which merge experts share."""

import argparse
from dataclasses import replace
from pathlib import Path

from modomodo.files import read_json
from modomodo.merging.experts import Experts, read_experts
from modomodo.training.model_directory import adapter_base


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
    experts = read_experts(arguments.base, weights, arguments.experts, arguments.step)
    if all(adapter_base(expert.directory) is None for expert in experts.by_domain.values()):
        return experts
    from modomodo.training.plain_directory import plain_directory  # seconds of torch

    by_domain = {
        domain: replace(expert, directory=plain_directory(expert.directory))
        for domain, expert in experts.by_domain.items()
    }
    return replace(experts, by_domain=by_domain)
