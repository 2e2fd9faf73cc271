"""The costs of a study as text: a screen for `make plan`, a line for a dry run."""

from collections.abc import Iterator, Sequence

from modomodo.config.schema import Study
from modomodo.console import HOUR, duration, size
from modomodo.reporting.settings import group_title
from modomodo.study.costs import Costs, RaceCost, Rate, StageCost
from modomodo.study.estimates import Estimate
from modomodo.study.outputs import PREDICTIONS, RUNS


def render(study: Study, costs: Costs) -> str:
    """The plan as a screen of text."""
    runs = costs.stage(RUNS)
    scored = study.training.scored_steps
    steps_text = f"step{'s' * (len(scored) > 1)} {', '.join(map(str, scored))}"
    places = f", {costs.places} places to train one of them further" if costs.places else ""
    mixtures = sum(sum(groups.values()) for groups in costs.rounds)
    asked = f"{mixtures} mixtures of {len(study.domains)} domains, {runs.total - costs.places} runs{places}"
    lines = [
        f"study {study.name}: {asked}, scored at {steps_text} on {len(study.benchmarks)} benchmarks",
        "",
        f"{'':<12}{'all':>6}{'done':>6}{'missing':>9}  {'each':<26}left",
    ]
    for cost in costs.stages:
        each = "" if cost.rate is None else f"{duration(cost.rate.seconds)}, {_basis(cost.rate)}"
        left = "" if cost.seconds is None or not cost.missing else _effort(cost)
        lines.append(f"{cost.stage:<12}{cost.total:>6}{cost.done:>6}{cost.missing:>9}  {each:<26}{left}")
    lines.append("")
    for number, groups in enumerate(costs.rounds):
        text = ", ".join(f"{group_title(name)} {count}" for name, count in groups.items())
        count = sum(groups.values())
        lines.append(f"round {number}: {count} mixture{'s' * (count > 1)}: {text}")
    lines += ["", *_totals(study, costs), *_formula(study, costs), *_resampling(study, costs)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _totals(study: Study, costs: Costs) -> list[str]:
    lines = []
    work = [costs.stage(RUNS), costs.stage(PREDICTIONS)]
    if not any(cost.missing for cost in work):
        return ["nothing is left to train or predict"]
    unknown = [cost.stage for cost in work if cost.missing and cost.seconds is None]
    if unknown:
        hint = (
            "set costs.training_hours and costs.prediction_hours, or costs.gpu,"
            if costs.estimate is None
            else "set costs.training_hours and costs.prediction_hours"
        )
        lines.append(
            f"time left: not known of {' and '.join(unknown)}: {hint} in the study, or finish one run"
        )
    else:
        lines.append(f"time left: {_work(work)}{_money(study, work)}")
        lines += [_race(race) for race in costs.races]
        unit = "GPU-hours" if study.training.gpus else "hours of jobs on CPUs"
        lines += [
            f"budget {spent.name}: least {spent.least:,.3g} {unit}, expected {spent.expected:,.3g}, most "
            f"{spent.most:,.3g}, by the study's costs"
            for spent in costs.budgets
        ]
        if costs.chain:
            lines.append(f"at least {duration(costs.chain)}, if all runs of a round go at once")
    if costs.disk is None:
        lines.append("disk left: not known: set costs.checkpoint_gb in the study, or finish one run")
    else:
        what = f"{costs.checkpoints} checkpoints"
        runs = "a stopped run is" if costs.resumes == 1 else f"{costs.resumes} stopped runs are"
        what += f" and what {runs} resumed from" if costs.resumes else ""
        text = f"disk left: {size(costs.disk)} for {what}, {size(costs.free_bytes)} are free"
        if costs.disk > costs.free_bytes:
            text += ": TOO LITTLE: free some, or keep fewer (training.keep_weights)"
        lines.append(text)
    return lines


def _race(race: RaceCost) -> str:
    least, expected, most = map(_work, (race.least, race.expected, race.most))
    return (
        f"race {race.name}: {least if least == most else f'least {least}, expected {expected}, most {most}'}"
    )


def _money(study: Study, stages: Sequence[StageCost]) -> str:
    price = study.costs.price
    hours = _gpu_hours(stages)
    if price is None or not hours:
        return ""
    return f", {hours * price:,.0f} {study.costs.currency} at {price:g} a GPU-hour"


def _formula(study: Study, costs: Costs) -> Iterator[str]:
    """What the formula says of a run, and beside it what runs took, once there are any."""
    estimate = costs.estimate
    if isinstance(estimate, str):
        yield f"no estimate by formula: {estimate}"
    if not isinstance(estimate, Estimate):
        return
    training, scored = study.training, len(study.training.scored_steps)
    yield f"by formula (docs/gpus.md), with {estimate.about}:"
    generation, learning = training.steps * estimate.generation, training.steps * estimate.training
    yield (
        f"  a run {duration(generation + learning)}: generation {duration(generation)}, training {duration(learning)}"
        f"{_error(estimate.step * training.steps, costs.stage(RUNS).rate)}"
    )
    if estimate.prediction is None:
        yield "  its predictions: not known: set benchmarks.<name>.expected, the number of questions, of each"
    else:
        yield (
            f"  its predictions {duration(estimate.prediction * scored)}"
            f"{_error(estimate.prediction * scored, costs.stage(PREDICTIONS).rate)}"
        )


def _resampling(study: Study, costs: Costs) -> Iterator[str]:
    """What dynamic sampling adds to the generation."""
    sampling = study.training.dynamic_sampling
    if sampling is None:
        return
    measured = "the formula counts one" if isinstance(costs.estimate, Estimate) else "none measured yet"
    if costs.generated is not None:
        measured = f"{costs.generated:.2f} in the finished runs, whose times count them"
    most = sampling.max_tries + 1
    yield f"dynamic sampling: at most {most} prompts are generated for one that is trained on; {measured}"


def _error(estimated: float, rate: Rate | None) -> str:
    if rate is None or not rate.measured:
        return ""
    return f"; measured {duration(rate.seconds)}, the formula says {estimated / rate.seconds:.2f} of it"


def summary(costs: Costs) -> str:
    """The plan in one line."""
    runs, predictions = costs.stage(RUNS), costs.stage(PREDICTIONS)
    text = f"plan: {runs.missing} of {runs.total} runs to train, {predictions.missing} to predict"
    work = [cost for cost in (runs, predictions) if cost.missing]
    if work:
        text += ", " + (
            _work(work) if all(cost.seconds is not None for cost in work) else "time not known yet"
        )
    if costs.disk:
        text += f", {size(costs.disk)} of disk"
    return f"{text} (make plan)"


def _work(stages: Sequence[StageCost]) -> str:
    """Hours of GPUs and of CPUs of some stages, whose seconds are known."""
    gpu = _gpu_hours(stages)
    cpu = sum(cost.seconds or 0.0 for cost in stages if not cost.gpus)
    parts = [f"{gpu:,.0f} GPU-hours"] if gpu else []
    parts += [f"{duration(cpu)} of jobs on CPUs"] if cpu or not parts else []
    return " and ".join(parts)


def _gpu_hours(stages: Sequence[StageCost]) -> float:
    return sum((cost.seconds or 0.0) * cost.gpus for cost in stages) / HOUR


def _effort(cost: StageCost) -> str:
    assert cost.seconds is not None
    if not cost.gpus:
        return duration(cost.seconds)
    return f"{cost.seconds * cost.gpus / HOUR:,.0f} GPU-hours ({cost.gpus} GPU{'s' * (cost.gpus > 1)} a job)"


def _basis(rate: Rate) -> str:
    if rate.measured:
        return f"measured on {rate.measured}"
    return "by formula" if rate.formula else "from costs"
