"""What every script shares: settings from the command line, one-line errors, calm progress."""

import argparse
import filecmp
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

from modomodo import environment
from modomodo.config.loading import parse
from modomodo.config.reading import read_config, read_yaml
from modomodo.config.schema import Settings, Study
from modomodo.error_hints import hint_of
from modomodo.errors import InputError, Interrupted, nearest, own_line, told
from modomodo.study.provenance import start

S = TypeVar("S", bound=Settings)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main and exit; bad input becomes one line on stderr and status 2, without a trace.

    Work that was asked to stop and was saved exits with 143. Scripts import torch inside their main, since its
    libraries read their environment, which is prepared here, when they are loaded.
    """
    try:
        _run(main)
    except BaseException as end:
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            _exit_at_once(end)
        raise


def _run(main: Callable[[], None]) -> NoReturn:
    environment.prepare()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a rule's shell may ignore it, to let its program finish
    try:
        start()
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        sys.exit(143)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output, as head does, has seen enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter's last flush complains
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        hint = hint_of(f"{type(error).__module__}.{type(error).__name__}: {error}")
        if hint is not None:
            print(f"error: {' '.join(str(error).split())}: {hint}", file=sys.stderr)
        elif own_line(error) is not None:  # whoever wrote it wants the trace too
            traceback.print_exception(error)
            print(f"error: {told(error)}", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    sys.exit(0)


def _exit_at_once(end: BaseException) -> NoReturn:
    """Exit as `end` would, without freeing what Python holds: for one of several processes that train together.

    torch 2.13 joins gloo's threads while it holds the GIL, which such a thread waits for when it frees the tensors of
    the last collective: now and then the process never ends, or aborts.
    """
    if isinstance(end, SystemExit):
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    else:
        status = 1
        traceback.print_exception(end)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def check_snakemake(arguments: Sequence[str]) -> None:
    """Report in one line what Snakemake would report in a trace: a --configfile that cannot be read, or is a target.

    Snakemake takes every word after --configfile for a file. Exits with status 2.
    """
    files = _config_files(arguments)
    try:
        for file in files:
            target = file != files[0] and file.startswith("results/")  # such as a run.json
            if target or Path(file).suffix not in (".yaml", ".yml", ".json"):
                raise InputError(
                    f"--configfile takes every word that follows for a file, so also '{file}': write "
                    f"--configfile={files[0]} {file}"
                )
            if not Path(file).exists():
                known = [str(path) for path in sorted(Path(file).parent.glob("*.y*ml"))]
                hint = nearest(file, known) if known else "its folder holds no YAML file"
                raise InputError(f"{file}: no such study: {hint}")
        if files:
            read_config(files, " + ".join(files))
        elif not any(
            word.startswith(("--profile", "--config")) for word in arguments
        ):  # which may name a study
            _check_targets(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _check_targets(arguments: Sequence[str]) -> None:
    """Raises InputError for a result of another study than the default one, of which Snakemake knows no rule."""
    default = Path("config/tiny.yaml")
    for word in arguments:
        folder, *rest = Path(word).parts or ("",)
        if folder != "results" or len(rest) < 2 or rest[0] == default.stem or not default.exists():
            continue
        files = [path for path in sorted(default.parent.glob("*.yaml")) if _name_in(path) == rest[0]]
        file = files[0] if files else "FILE"
        raise InputError(
            f"{word}: of the study '{rest[0]}', but without --configfile the study is {default}: write "
            f"--configfile={file} {word}"
        )


def _name_in(path: Path) -> str | None:
    """The name of the study in a YAML file; None where it holds none, or cannot be read."""
    try:
        study = read_yaml(path)
    except InputError:
        return None
    name = study.get("name") if isinstance(study, dict) else None
    return name if isinstance(name, str) else None


def shows_another_study(arguments: Sequence[str]) -> bool:
    """Whether results/table2.csv is asked for and not the table of the study that these arguments of Snakemake name.

    By its time alone Snakemake would take another study's table, made later, for this one's.
    """
    shown, files = Path("results/table2.csv"), _config_files(arguments)
    if str(shown) not in arguments or not shown.exists():
        return False
    name = _name_in(Path(files[-1] if files else "config/tiny.yaml"))  # None: refused when the study is read
    own = Path(f"results/{name}/table2.csv")
    try:
        return name is not None and own.exists() and not filecmp.cmp(shown, own, shallow=False)
    except OSError:
        return False


def _config_files(arguments: Sequence[str]) -> list[str]:
    """The files given to Snakemake with --configfile."""
    words = list(arguments)
    files = [word.partition("=")[2] for word in words if word.startswith(("--configfile=", "--configfiles="))]
    option = next((word for word in words if word in ("--configfile", "--configfiles")), None)
    if option is not None:
        after = words[words.index(option) + 1 :]
        files += itertools.takewhile(lambda word: not word.startswith("-"), after)
    return files


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """A parser whose --help shows the script's own docstring."""
    return argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_settings(arguments: argparse.ArgumentParser, required: bool = True) -> None:
    """The --settings argument of a job."""
    arguments.add_argument(
        "--settings",
        required=required,
        metavar="JSON|STUDY.yaml",
        help="the settings of the job: JSON as the rule passes it, or a study's YAML file to take them from",
    )


def add_records(arguments: argparse.ArgumentParser) -> None:
    """The arguments of a script that shows a study's records, a table of records alone, or a replay."""
    add_settings(arguments, required=False)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--records", type=Path, help="records.csv")
    source.add_argument("--config", help="a study of recorded runs, its file or JSON")
    arguments.add_argument(
        "--target",
        help="the score to compare by, of a table without a study (default: its Out-Score, or its first)",
    )


def add_questions(arguments: argparse.ArgumentParser) -> None:
    """The --questions argument of a script that compares mixtures."""
    arguments.add_argument(
        "--questions",
        type=Path,
        help="question_scores.csv: differences between mixtures are then judged question by question",
    )


def add_study(arguments: argparse.ArgumentParser) -> None:
    """The --study argument of a script that looks at a whole study."""
    arguments.add_argument(
        "--study", type=Path, default=Path("config/tiny.yaml"), help="the study (default: %(default)s)"
    )


def settings(text: str, model: type[S], take: Callable[[Study], S]) -> S:
    """Settings of one job, from JSON or from a study file."""
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"--settings: not valid JSON: {error.msg} at character {error.pos}") from None
        return parse(data, model, "--settings")
    from modomodo.study.checks import read_study  # here: a job is given JSON, and needs no registry checked

    return take(read_study(text))


def named_paths(pairs: Iterable[str], option: str) -> dict[str, Path]:
    """`NAME=PATH` arguments as a dictionary. Raises InputError for another form."""
    paths = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise InputError(f"{option} {pair}: expected NAME=PATH")
        paths[name] = Path(path)
    return paths
