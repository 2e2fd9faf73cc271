"""What a watcher saw, laid out for a terminal of any size: lines that are never wider, and never more than fit."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

from modomodo.console import duration
from modomodo.study.outputs import STAGES
from modomodo.study.status import at_work, counted
from modomodo.study.watch import Look, Running, silence

NAME, SHARE, STEPS, LEFT, BAR = 12, 9, 9, 13, 30  # columns
WIDE = 72  # columns from which on there is room for more than what is needed
COLOURS = {"running": "cyan", "waiting": "dim", "failed": "bold red", "interrupted": "yellow"}


@dataclass
class Section:
    """Lines under a title, of which the first `shown` are shown. `of`: what a line is, if not a thing of its own."""

    title: str
    lines: list[Text]
    of: str = ""
    shown: int = field(init=False)

    def __post_init__(self) -> None:
        self.shown = len(self.lines)

    @property
    def height(self) -> int:
        """Lines with the title, and a blank one before it."""
        return self.shown + 2 if self.title and self.shown else self.shown

    def render(self) -> list[Text]:
        """Its lines; where some are left out the last says how many."""
        lines = self.lines[: self.shown]
        if self.shown and (left := len(self.lines) - self.shown):
            lines = [*lines[:-1], Text(f"  … and {left + 1} more{self.of}", style="dim")]
        return [Text(""), Text(self.title, style="bold"), *lines] if self.title and lines else lines


def screen(look: Look, width: int, height: int, ascii_only: bool = False) -> list[Text]:
    """The lines of a screen: what fails is shortened last, and stages become one line where all that does not fit."""
    stages = Section("", _stages(look, width, ascii_only))
    best = Section("best so far", _wrapped(look.best, width), of=" lines")
    running = Section("running", [_job(job, look, width) for job in look.running if not job.waits])
    waiting = Section("waiting in Slurm's queue", _waiting(look))
    failed = Section("failed", _wrapped(look.failed, width, "red"), of=" lines")
    head, foot = _head(look, width), _foot(look, width)
    parts = [stages, running, waiting, failed, best]
    spare = height - len(head) - len(foot)

    def shorten(*least: tuple[Section, int]) -> None:
        for section, few in least:
            while sum(part.height for part in parts) > spare and section.shown > few:
                section.shown -= 1

    shorten((best, 4), (waiting, 3), (failed, 4), (running, 4))
    if sum(part.height for part in parts) > spare:
        parts[0] = Section("", [_stages_in_short(look)])
    shorten((best, 0), (waiting, 2), (failed, 2), (running, 2))
    lines = [*head, *(line for part in parts for line in part.render()), *foot][: max(height, 1)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _head(look: Look, width: int) -> list[Text]:
    """Study and time, and what Snakemake does: beside the name where there is room."""
    name, said, clock = f"study {look.study}", at_work(look.status), f"{look.clock:%H:%M:%S}"
    room = width - len(clock)
    beside = len(f"{name}: {said} ") <= room
    first = Text(f"{name}: {said}" if beside else name)
    first.stylize("bold", 0, len(name))
    first.truncate(max(room - 1, 8), overflow="ellipsis")
    first = Text.assemble(first, " " * max(room - first.cell_len, 1), (clock, "dim"))
    return [first] if beside else [first, *_wrapped([said], width)]


def _stages(look: Look, width: int, ascii_only: bool) -> list[Text]:
    """A line a stage: a bar, how many of how many are done, and what else there is to say."""
    lines = []
    waiting = Counter(result.stage for result in look.status.results if result.path in look.held)
    room = min(max(width - NAME - SHARE - 24, 0), BAR)
    for stage, counts in counted(look.status).items():
        total = sum(counts.values())
        text = Text(f"{stage:<{NAME}}")
        if room >= 8:
            full = int(room * counts["done"] / total) if total else room
            done, missing = ("#", "-") if ascii_only else ("━", "─")
            text.append(done * full, style="green").append(missing * (room - full), style="dim").append(" ")
        text.append(
            f"{counts['done']}/{total}".rjust(SHARE), style="green" if counts["done"] == total else ""
        )
        also = {**counts, "running": counts["running"] - waiting[stage], "waiting": waiting[stage]}
        for state in COLOURS:
            if also[state]:
                text.append("  ").append(f"{also[state]} {state}", style=COLOURS[state])
        lines.append(text)
    return lines


def _stages_in_short(look: Look) -> Text:
    counts = counted(look.status)
    return Text(
        "  ".join(f"{stage} {counts[stage]['done']}/{sum(counts[stage].values())}" for stage in STAGES)
    )


def _job(job: Running, look: Look, width: int) -> Text:
    """A job at work: its name, how far it is, what is left, and where there is room what else it says."""
    wide = width >= WIDE
    longest = max(len(_title(other)) for other in look.running)
    beside = max(len(other.progress.said) if other.progress else 0 for other in look.running) if wide else 0
    name = Text(f"  {_title(job)}")
    room = min(longest + 2, width - STEPS - LEFT - beside - 2)
    name.truncate(max(room, 10), overflow="ellipsis", pad=True)
    if job.progress is None:
        said = silence(job) or job.said or "at work"
        return Text.assemble(name, " ", (said, "dim"))
    steps = f"{job.progress.done}/{job.progress.total}".rjust(STEPS)
    left = silence(job) or (f"{duration(job.left)} left" if job.left else "")
    text = Text.assemble(name, (steps, "cyan"), left.rjust(LEFT))
    return Text.assemble(text, f"  {job.progress.said}") if wide and job.progress.said else text


def _title(job: Running) -> str:
    where = f" [GPU {','.join(job.gpus)}]" if job.gpus else ""
    return f"{job.rule} {job.name}".rstrip() + where


def _waiting(look: Look) -> list[Text]:
    return [Text(f"  {count} for {reason}") for reason, count in look.waiting.most_common()]


def _wrapped(sentences: Sequence[str], width: int, style: str = "") -> list[Text]:
    """Sentences over as many lines as they need, indented."""
    room = max(width - 1, 20)
    return [
        Text(line, style=style)
        for sentence in sentences
        for line in textwrap.wrap(
            sentence, room, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    ]


def _foot(look: Look, width: int) -> list[Text]:
    lines = [Text("")]
    if look.gpus:
        lines.append(Text(f"GPUs in use here: {' '.join(look.gpus)}", style="dim"))
    lines += [Text(line, style="dim") for line in textwrap.wrap(look.left, width)]
    if look.status.warned:
        count = len(look.status.warned)
        lines.append(Text(f"{count} warning{'s' * (count > 1)}: make status", style="yellow"))
    return lines
