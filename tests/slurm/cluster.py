"""A Slurm cluster of one node with four pretended GPUs, and its accounting database, all in one folder."""

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PLACE = Path("/etc/slurm/slurm.conf")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_wait}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SlurmdParameters=config_overrides
ReturnToService=1
KillWait=60
MinJobAge=3600
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=1000000 Gres=gpu:4 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
DbdHost=localhost
DbdPort={accounting}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
"""
# Seconds that a requeued job waits; Slurm's default is 120.
REQUEUE_WAIT = 40
ACCOUNT = "lab"  # that jobs can be charged to


class Cluster:
    """A database and Slurm's daemons under `folder`; Slurm's commands find them by `environment`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = socket.gethostname().split(".")[0]
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("spool", "state"):
            (folder / name).mkdir(parents=True)
        names = ("controller", "node", "accounting", "database")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        facts = {"host": self.node, "folder": folder, "requeue_wait": REQUEUE_WAIT, **self.ports}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**facts))
        (folder / "slurmdbd.conf").touch(mode=0o600)
        (folder / "slurmdbd.conf").write_text(ACCOUNTING.format(**facts))
        for number in range(4):  # Slurm assigns only device files: those of terminals will do
            os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o600, os.makedev(4, number + 1))
        (folder / "gres.conf").write_text(f"NodeName={self.node} Name=gpu File={folder}/gpu[0-3]\n")
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Raises RuntimeError if there is another Slurm, or if a daemon does not start, with the logs."""
        # Inside a job the executor drops SLURM_CONF, so a job step has to find this cluster at the default path.
        if PLACE.is_symlink():
            PLACE.unlink()
        if PLACE.exists():
            raise RuntimeError(f"{PLACE}: this machine has its own Slurm, which this test does not touch")
        PLACE.parent.mkdir(exist_ok=True)
        PLACE.symlink_to(self.folder / "slurm.conf")
        self._start_munge()
        self._start_database()
        self._daemon("slurmdbd", "-D")
        self._wait(
            "the accounting", lambda: self.call("sacctmgr", "-n", "-i", "add", "cluster", "test") != ""
        )
        self.call("sacctmgr", "-i", "add", "account", ACCOUNT, "cluster=test")
        self.call("sacctmgr", "-i", "add", "user", "root", f"account={ACCOUNT}")
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D", "-N", self.node)
        self._wait("the node", lambda: self.call("sinfo", "-h", "-p", "gpu", "-o", "%T") == "idle")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        self._daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)

    def _start_database(self) -> None:
        data = ("--no-defaults", "--user=root", f"--datadir={self.folder}/database")
        subprocess.run(["mariadb-install-db", *data, "--skip-test-db"], check=True, capture_output=True)
        place = f"--socket={self.folder}/database.socket"
        network = ("--bind-address=127.0.0.1", f"--port={self.ports['database']}", "--skip-networking=0")
        self._daemon(
            "mariadbd",
            *data,
            place,
            *network,
            f"--pid-file={self.folder}/database.pid",
            "--skip-grant-tables",
        )
        ask = ("mariadb", "--no-defaults", place, "-N", "-e", "select 1")
        self._wait("the database", lambda: self.call(*ask) == "1")

    def _daemon(self, *command: str) -> None:
        log = open(self.folder / f"{command[0]}.out", "w")  # noqa: SIM115 (for as long as it runs)
        self.daemons.append(
            subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        )

    def _wait(self, daemon: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not ready():
            if time.monotonic() > deadline:
                logs = [path.read_text()[-2000:] for path in sorted(self.folder.glob("*.out"))]
                raise RuntimeError(f"{daemon} did not start:\n" + "\n".join(logs))
            time.sleep(0.3)

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        self.call("scancel", "--signal=KILL", "--full", f"--nodelist={self.node}")
        self.call("scancel", f"--nodelist={self.node}")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        PLACE.unlink()
        # What survives its node, as the Snakemake around a job step does, would survive the tests too.
        mine = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    def call(self, *command: str) -> str:
        """The output of a Slurm command, empty if it fails."""
        run = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return run.stdout.strip()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that are not in use."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
