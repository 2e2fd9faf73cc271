"""Make the model that every run starts from: download it, or train a tiny one.

Example:
    python scripts/base_model.py --settings config/tiny.yaml --output /tmp/base --info /tmp/base.json

The directory is in Hugging Face form; the info file holds the digest of its weights and what it cost.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.console import imports
from modomodo.files import usual_modes, write_json
from modomodo.study.provenance import provenance, start
from modomodo.training.builders import model_builders, read_options
from modomodo.training.run_folder import weights_digest
from modomodo.training.settings import BaseModelSettings


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--output", type=Path, required=True, help="the model's directory")
    parser.add_argument("--info", type=Path, required=True, help="JSON: digest of the weights, provenance")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, BaseModelSettings, BaseModelSettings.of)
    load_plugins(settings.plugins)
    build = model_builders[settings.model.builder]
    options = read_options(settings.model.builder, settings.model.options)
    summary = build(arguments.output, options, settings.prompts, settings.model.threads)
    with imports():
        from modomodo.training.models import check_model
        from modomodo.training.processors import load_processor
    check_model(arguments.output)
    load_processor(arguments.output)
    if not arguments.output.is_symlink():
        usual_modes(arguments.output)
    about = {
        "weights": weights_digest(arguments.output),
        "settings": settings.changed(),
        "summary": summary,
        **provenance(),
        "seconds": start().seconds,
    }
    write_json(arguments.info, about)


if __name__ == "__main__":
    command_line.run(main)
