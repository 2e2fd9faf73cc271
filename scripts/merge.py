"""experts + a mixture → the merged model: a checkpoint that no training made.

Example:
    python scripts/merge.py --base results/tiny/base --base-info results/tiny/base.json \\
        --experts results/tiny/runs/single-*/42/run.json --mixture results/tiny/mixtures/all.json \\
        --alpha 1.5 --output /tmp/merged/all

Leaves a Hugging Face directory in shards of a gigabyte. Tensors are read one at a time: a model of 2B parameters
takes a few GB of memory and no GPU. The pipeline itself does without such directories: it gives the merged weights
to a loaded model (scripts/score_merges.py, scripts/screen.py).
"""

from pathlib import Path

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.merging.arguments import add_experts, experts_of
from modomodo.mixtures.mixture import read_mixture


def main() -> None:
    parser = command_line.parser(__doc__)
    add_experts(parser)
    parser.add_argument("--mixture", type=Path, required=True, help="the mixture's JSON")
    parser.add_argument("--alpha", type=float, default=1.0, help="how far the movements are carried (1)")
    parser.add_argument("--output", type=Path, required=True, help="directory of the merged model")
    arguments = parser.parse_args()
    if arguments.alpha <= 0:
        raise InputError(f"--alpha {arguments.alpha:g}: must be above 0")
    experts = experts_of(arguments)
    coefficients = experts.coefficients(read_mixture(arguments.mixture).weights, arguments.alpha)
    from modomodo.merging.weights import write_merged  # imports torch
    from modomodo.training.models import check_model

    check_model(experts.base)
    write_merged(arguments.output, experts, coefficients)
    shares = ", ".join(f"{domain} {value:.3g}" for domain, value in coefficients.items())
    print(f"{arguments.output}: {shares}")


if __name__ == "__main__":
    command_line.run(main)
