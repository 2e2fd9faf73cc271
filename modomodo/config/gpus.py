"""What GPUs can do at most, by name: dense bfloat16 TFLOP/s and GB/s of memory, as their makers' data sheets say."""

from typing import NamedTuple

from modomodo.errors import nearest


class Peak(NamedTuple):
    """The most that one GPU can do."""

    tflops: float  # 1e12 operations a second on dense matrices in bfloat16 (float16 where it has no bfloat16)
    bandwidth: float  # GB (1e9 bytes) a second from its memory


# Data sheets of NVIDIA (nvidia.com/en-us/data-center/<name>, the SXM form where nothing else is said; where a sheet
# counts sparse matrices, half of it; GeForce: those that accumulate in float32, by the architecture's white paper) and
# AMD (amd.com/en/products/accelerators/instinct).
GPUS = {
    "V100": Peak(125, 900),
    "T4": Peak(65, 320),
    "A10": Peak(125, 600),
    "A40": Peak(149.7, 696),
    "A6000": Peak(154.8, 768),
    "A100": Peak(312, 2039),
    "A100-40GB": Peak(312, 1555),
    "A100-PCIe": Peak(312, 1935),
    "L4": Peak(121, 300),
    "L40S": Peak(362, 864),
    "H100": Peak(989, 3350),
    "H100-PCIe": Peak(756, 2000),
    "H100-NVL": Peak(835, 3900),
    "H200": Peak(989, 4800),
    "B200": Peak(2250, 8000),
    "RTX-3090": Peak(71, 936),
    "RTX-4090": Peak(165, 1008),
    "MI250X": Peak(383, 3277),
    "MI300X": Peak(1307, 5300),
}


def check_gpu(name: str) -> str:
    """The name as the table has it, whatever its case and spaces. Raises ValueError with the nearest for another."""
    plain = name.replace(" ", "-").replace("_", "-").upper().removeprefix("NVIDIA-").removesuffix("-80GB")
    known = {known.upper(): known for known in GPUS}
    if plain not in known:
        hint = nearest(plain, known)
        raise ValueError(
            f"unknown GPU '{name}': {hint}; or write {{tflops: …, bandwidth: …}} from its data sheet"
        )
    return known[plain]
