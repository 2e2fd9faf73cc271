"""One training run as several processes: TRL's vLLM server and the trainers.

    1. Start the vLLM server on the last GPU and wait until it answers.
    2. Start a trainer on each other GPU, with the environment by which torch's processes find each other.
    3. Supervise all of them (supervise.py): a signal makes the trainers save and end; when one process fails, all
       are ended.

The trainers are not started by `accelerate launch`: docs/decisions.md has what was measured.
"""

import json
import os
import re
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modomodo.config.schema import Training
from modomodo.environment import SERVER_URL
from modomodo.training.supervise import ProcessSpec, supervise

HOST = "127.0.0.1"
OF_ACCELERATE = re.compile("(ACCELERATE|FSDP|DEEPSPEED)_")
SERVER_MEMORY = 0.9  # of a GPU that only serves


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_trainer() -> bool:
    """Whether this process was started by `launch`, as one of the trainers."""
    return SERVER_URL in os.environ


def server_of_trainer() -> str:
    """Where the vLLM server of this trainer answers; empty without one."""
    return os.environ.get(SERVER_URL, "")


def launch(command: Sequence[str], settings: Training, base: Path, folder: Path, gpus: Sequence[str]) -> None:
    """Run `command` as the trainers of a run, with a vLLM server where the settings ask for one.

    Logs of the server and of all trainers but the first lie in `folder`. Raises LaunchError when a process fails,
    Interrupted after a signal.
    """
    shared = accelerate_environment(settings.accelerate) if isinstance(settings.accelerate, dict) else {}
    if settings.vllm != "server":
        supervise(trainer_specs(command, gpus, settings.processes, "", folder, shared))
        return
    port = free_port()
    url = f"http://{HOST}:{port}"
    *training_gpus, serving_gpu = gpus
    trainers = trainer_specs(command, training_gpus, settings.processes, url, folder, shared)
    supervise(trainers, server_spec(base, serving_gpu, port, folder / "server.log"), f"{url}/health")


def server_spec(base: Path, gpu: str, port: int, log: Path) -> ProcessSpec:
    """The vLLM server as TRL wants it, for image prompts on one GPU."""
    from trl.scripts.vllm_serve import ScriptArguments, build_command

    served = ScriptArguments(
        model=str(base), host=HOST, port=port, gpu_memory_utilization=SERVER_MEMORY, log_level="warning"
    )
    # No prompt has a video; without this, memory would be reserved for one.
    command = build_command(served, ["--limit-mm-per-prompt", '{"video": 0}'])
    # The endpoints by which weights are sent belong to what vLLM calls its development mode.
    environment = _environment([gpu]) | {"VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1"}
    # A scheduler sends SIGTERM to every process of a job, and trainers that finish their step still need the server.
    return ProcessSpec("vLLM server", command, environment, log, blocked=(signal.SIGTERM,))


def trainer_specs(
    command: Sequence[str],
    gpus: Sequence[str],
    processes: int,
    url: str,
    folder: Path,
    more: Mapping[str, str] = {},
) -> list[ProcessSpec]:
    """The trainers, each with its rank; only the first one's output reaches the job's log.

    `more` is what all have in their environment besides.
    """
    shared = {**_environment(gpus), **more} | {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(free_port()),
        SERVER_URL: url,
    }
    return [
        ProcessSpec(
            f"trainer {rank}",
            command,
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            folder / f"trainer-{rank}.log" if rank else None,
        )
        for rank in range(processes)
    ]


def accelerate_environment(file: Mapping[str, Any]) -> dict[str, str]:
    """What `accelerate launch` would set for the processes of a file of `accelerate config`, by its own functions."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    with tempfile.NamedTemporaryFile("w", suffix=".json") as written:
        json.dump(file, written)
        written.flush()
        given = launch_command_parser().parse_args(["--config_file", written.name, "train.py"])
        arguments, defaults, precision_from_file = _validate_launch_command(given)
    arguments.main_process_port = 0  # that of `trainer_specs` counts
    if arguments.use_deepspeed:
        fields = [*defaults.deepspeed_config, *(["mixed_precision"] if precision_from_file else [])]
        arguments.deepspeed_fields_from_accelerate_config = ",".join(fields)
        environment = prepare_deepspeed_cmd_env(arguments)[1]
    else:
        environment = prepare_multi_gpu_env(arguments)
    told = {name: value for name, value in environment.items() if OF_ACCELERATE.match(name)}
    return told | ({"ACCELERATE_USE_CPU": "true"} if arguments.use_cpu else {})


def _environment(gpus: Sequence[str]) -> dict[str, str]:
    """What every process of a run has in its environment: its GPUs, and no proxy between them."""
    local = ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"]))
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "NO_PROXY": local,
        "no_proxy": local,
        "VLLM_HOST_IP": HOST,  # where vLLM and TRL meet to pass weights on
    }
