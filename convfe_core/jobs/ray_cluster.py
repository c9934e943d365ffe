"""Connecting to a Ray cluster: one that runs already, or one of this machine alone for as long as it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from convfe_core.base.errors import ConvfeError, EngineError
from convfe_core.machine.versions import installed_version

KNOCK_SECONDS, ANSWER_SECONDS = 10.0, 60.0
PACKAGES = ("convfe", "tensorflow", "keras", "numpy", "pillow", "onnxruntime")
"""Packages whose versions change the last digits of scores."""
_MOST_WORDS = 300


def require_ray() -> None:
    """Check that Ray Data is installed.

    Raises
    ------
    EngineError : it is not; says how to install it
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise EngineError(
            'Expected Ray Data for --engine ray, got a Python without it; run: pip install "convfe[ray]".'
        ) from error


def cluster_address(address: str | None) -> str:
    """Where the cluster is that was asked for; ``local`` for one of this machine alone."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Yield the module of Ray, connected to a cluster; one that this starts ends with the block.

    Parameters
    ----------
    address : None for the one in ``RAY_ADDRESS``, or else one of this machine alone

    Raises
    ------
    EngineError : Ray is not there, or the cluster does not let us in
    """
    require_ray()
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():
        yield ray
        return
    where = cluster_address(address)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its logs in files say more than its lines here
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if where == "local":
        settings["include_dashboard"] = False
        guard_own_cluster()
    try:
        _knock(where)
        ray.init(where, **settings)
    except (RayError, RuntimeError, ValueError, OSError) as error:
        raise EngineError(_refused(where, error)) from error
    try:
        with redirect_stdout(sys.stderr):  # where Ray says which workers it has lost
            yield ray
    finally:
        ray.shutdown()


def guard_own_cluster() -> None:
    """Protect a cluster of this machine alone with a token: Ray listens on every address that the machine has.

    Ray would write a token of its own into the home folder. This one is known only to this process and its children.
    Ray keeps the first token of a process, so it is never changed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def package_versions() -> dict[str, str]:
    """The versions of `PACKAGES` on this machine."""
    return {name: installed_version(name) for name in PACKAGES}


def check_machines(ray: Any) -> None:
    """Compare the packages of every machine that can compute: one without them would fail every shard.

    Raises
    ------
    EngineError : names a machine where they are not there, or others
    """
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = package_versions()
    ask = ray.remote(num_cpus=0, max_retries=0)(package_versions)
    asked = [
        (
            node["NodeManagerAddress"],
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(),
        )
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    ]
    for machine, answer in asked:
        try:
            found = ray.get(answer, timeout=ANSWER_SECONDS)
        except RayTaskError as error:
            raise EngineError(
                f"Expected the same packages on every machine, got “{error_in_words(error)}” from {machine}; install "
                "there what is installed here."
            ) from error
        except RayError:  # the machine is lost or busy; if it stays so, its shards fail and are named
            continue
        require_same_packages(here, found, machine)


def require_same_packages(wanted: Mapping[str, str], found: Mapping[str, str], machine: str) -> None:
    """Refuse a machine whose numbers could differ in the last digits.

    Raises
    ------
    EngineError : names what differs
    """
    differing = [f"{name} {found.get(name)} (here {text})" for name, text in wanted.items() if found.get(name) != text]
    if differing:
        raise EngineError(
            f"Expected the same packages on every machine, got {', '.join(differing)} on {machine}; install these "
            "versions there, or those here."
        )


def error_in_words(error: BaseException) -> str:
    """An error as one line: our own as it stands, any other with its class; of Ray's long reports the last line."""
    lines = str(error).strip().splitlines()
    if type(error).__module__.startswith("ray."):
        lines = lines[-1:]
    text = " ".join(" ".join(lines).split())[:_MOST_WORDS]
    return text if isinstance(error, ConvfeError) and text else f"{type(error).__name__}: {text}"


def _knock(address: str) -> None:
    """Fail at once where nothing listens at ``host:port``: Ray itself would go on trying for minutes.

    Raises
    ------
    OSError : nothing listens there
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def _refused(where: str, error: Exception) -> str:
    """The sentence for a cluster that cannot be reached or refuses the connection."""
    from ray.exceptions import AuthenticationError

    said = error_in_words(error)
    if isinstance(error, AuthenticationError) or "Failed to connect" in said:  # though it did answer before
        return (
            f"Expected to be let into the Ray cluster at {where}, got “{said}”; look whether that is the address of "
            "its head, copy ~/.ray/auth_token from there (or set RAY_AUTH_TOKEN), and set RAY_AUTH_MODE=token."
        )
    if "Version mismatch" in said:
        return f"Expected the same Ray and Python on every machine, got “{said}”; install the same versions."
    return (
        f"Expected a Ray cluster at {where}, got “{said}”; start one with `ray start --head`, or leave out --address "
        "to use this machine."
    )
