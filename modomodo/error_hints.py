"""Errors of the system, CUDA and Slurm, and a hint for each: one line for whoever reads the log."""

import re

HINTS = {
    # The last is all that torch.save says of it.
    r"No space left on device|Disk quota exceeded|inline_container\.cc:\d+\] \. unexpected pos": "the disk is full: "
    "`make plan` shows what the study still needs; free some and run again, nothing that was finished is lost",
    r"Read-only file system": "the disk is mounted read-only: run where results may be written (`findmnt -T .` shows "
    "how it is mounted), then run again",
    r"\[Errno 13\]|\(os error 13\)|strerror: Permission denied": "this user may not write there (or not read): "
    "`ls -ld` shows whose it is: change that with chown or chmod, then run again",
    r"CUDA out of memory|torch\.OutOfMemoryError": "the GPU's memory is too small: raise "
    "training.gradient_accumulation_steps (smaller micro-batches, the same steps), or lower evaluation.batch_size",
    r"[Ii]nvalid partition": "Slurm knows no such partition: `sinfo -s` lists them; name one in slurm/config.yaml",
    r"[Ii]nvalid account": "Slurm knows no such account: `sacctmgr show associations user=$USER` lists yours; name one "
    "in slurm/config.yaml",
    r"oom[-_ ]kill|Out Of Memory|Cannot allocate memory": "the machine's memory is too small: ask for more in the "
    "profile (set-resources: <rule>:mem_mb=…), or run fewer jobs at once (--cores)",
    r"DUE TO TIME LIMIT": "a job ran into its time limit: run again, it resumes from its last checkpoint; or ask for "
    "more in the profile (set-resources: train:runtime=…)",
}


def hint_of(text: str) -> str | None:
    """The hint for the first known error in a text, None when there is none."""
    found = ((match.start(), hint) for pattern, hint in HINTS.items() if (match := re.search(pattern, text)))
    return min(found, default=(0, None))[1]
