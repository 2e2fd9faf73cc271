"""mixture + examples → stream: which example is trained on when.

Example:
    python scripts/draw_stream.py --settings config/tiny.yaml --mixture results/tiny/mixtures/all.json \\
        --examples results/tiny/examples/*.jsonl --seed 42 --output /tmp/stream.jsonl

Two-stage draw without replacement, or in exact shares (the study's `draw`). Beside the stream,
STREAM.summary.json holds requested and realised shares, the domain that was exhausted first, and the step that the
checkpoint of each scored step is of.

Of a mixture that changes while its run trains (propose: online) the stream holds every domain's examples in the order
that they will be seen in, and the run chooses among the domains.

Stops when even a mixture of all domains could not reach the last step. Fewer domains may be exhausted: the run then
ends early, as in the paper.

Of a run in a race the whole stream is drawn each time, and its summary says which steps of it are trained now; a place
that no run takes has an empty one, and so has a mixture whose share of a budget went elsewhere. Where a budget trains a
known mixture again, the mixture's file says under which seed, in place of --seed.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.data.examples import find_examples, read_ids
from modomodo.errors import InputError
from modomodo.files import write_json, write_jsonl
from modomodo.mixtures.mixture import Mixture, Weights, read_mixture
from modomodo.mixtures.races import taken
from modomodo.mixtures.settings import StreamSettings
from modomodo.mixtures.stream import (
    Stream,
    check_enough,
    domain_order,
    draw_stream,
    of_stretch,
    summary,
    untaken,
)
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--mixture", type=Path, required=True, help="the mixture's JSON file")
    parser.add_argument("--examples", type=Path, required=True, nargs="+", help="DOMAIN.jsonl files")
    parser.add_argument("--seed", type=int, required=True, help="seed of the draw")
    parser.add_argument("--output", type=Path, required=True, help="the stream, one prompt a line")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, StreamSettings, StreamSettings.of)
    mixture = read_mixture(arguments.mixture)
    weights, stretch = mixture.weights, (settings.since, settings.until)
    seed = mixture.repeats_with or arguments.seed
    further = taken(mixture, arguments.mixture.stem)
    if further and mixture.budget:
        stretch = (mixture.budget.since, None)
    if not further and (settings.since or mixture.idle):
        write_jsonl(arguments.output, ())
        write_json(arguments.output.with_suffix(".summary.json"), untaken(weights, *stretch))
        return
    drawn_from = [domain for domain, weight in weights.items() if weight > 0]
    files = find_examples(arguments.examples, drawn_from, "--examples")
    ids = {name: read_ids(path) for name, path in files.items()}
    if len(drawn_from) == len(weights):
        check_enough(
            {name: len(of_domain) for name, of_domain in ids.items()},
            settings.steps,
            settings.prompts_per_step,
            settings.iterations,
        )
    if mixture.online:
        orders = {name: domain_order(of_domain, name, seed) for name, of_domain in ids.items()}
        rows = [{"domain": name, "id": one} for name, order in sorted(orders.items()) for one in order]
        drawn = online_summary(mixture, settings)
    else:
        stream = draw(arguments.mixture, weights, ids, settings, seed)
        rows = [one._asdict() for one in stream.draws]
        drawn = summary(stream, weights, settings.scored_steps)
    if mixture.repeats_with is not None:
        drawn |= {"mixture": mixture.name, "seed": seed}
    elif stretch != (0, None):
        drawn = of_stretch(drawn, mixture.name, *stretch)
    write_jsonl(arguments.output, rows)
    write_json(arguments.output.with_suffix(".summary.json"), drawn)
    describe(arguments.output, settings, [arguments.mixture, *arguments.examples], seed)


def draw(
    mixture: Path, weights: Weights, ids: dict[str, list[str]], settings: StreamSettings, seed: int
) -> Stream:
    """The stream of a mixture. Raises InputError naming its file."""
    try:
        return draw_stream(
            weights,
            ids,
            settings.steps,
            settings.prompts_per_step,
            seed,
            settings.window,
            settings.iterations,
        )
    except InputError as error:
        raise InputError(f"{mixture}: {error}") from None


def online_summary(mixture: Mixture, settings: StreamSettings) -> dict:
    """What is known of a stream before a run decides it; the run's own run.json has the rest."""
    assert mixture.online is not None
    return {
        "online": mixture.online.changed(),
        "steps": settings.steps,
        "prompts": settings.steps // settings.iterations * settings.prompts_per_step,
        "requested": mixture.weights,
        "checkpoint_steps": {str(step): step for step in settings.scored_steps},
    }


if __name__ == "__main__":
    command_line.run(main)
