"""Starts the containers of a Pod: prepares volumes, tokens, environment and command."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.kinds import SERVICE_ACCOUNT
from panal.kube.objects import Object
from panal.kube.times import from_time
from panal_local.node import content, images, records, volumes
from panal_local.node.content import TokenRequest
from panal_local.node.environment import Lookup, Mounts, NotReadyError, command, config_error, environment, real, rewrite
from panal_local.node.records import Attempt

TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Settings:
    """`api` is the host and port of the API server for Pods, `restart_delay` the first delay of the restart back-off in seconds."""

    address: str
    images: Path
    api: tuple[str, int]
    restart_delay: float = 10.0


class Starter:
    """`folder` is the Pod's folder, `ip` its address."""

    def __init__(self, ip: str, folder: Path, client: Client, lookup: Lookup, settings: Settings) -> None:
        self._ip = ip
        self._folder = folder
        self._client = client
        self._lookup = lookup
        self._settings = settings
        self._tokens: dict[TokenRequest, tuple[str, float]] = {}  # token and time of renewal

    @property
    def renewals(self) -> Iterable[float]:
        """When the Pod's tokens must be renewed, in seconds since 1970."""
        return (renew for _, renew in self._tokens.values())

    def digest(self, image: str) -> str:
        """The digest of the image; empty if the store does not contain it."""
        try:
            return images.find(self._settings.images, image).digest
        except NotReadyError:
            return ""

    async def mount(self, pod: Object) -> dict[str, Path]:
        """Updates the volumes and returns their folders. Raises NotReadyError."""
        await self._renew_tokens(pod)
        tokens = {request: token for request, (token, _) in self._tokens.items()}
        return volumes.prepare(pod, self._folder / "volumes", self._lookup, tokens)

    def start(self, pod: Object, spec: Object, folders: dict[str, Path]) -> Attempt:
        """Starts the next attempt of the container. Raises NotReadyError."""
        for field in ("lifecycle", "livenessProbe"):
            if field in spec:
                raise config_error(f"containers {spec['name']}: {field} is not supported by this node")
        image = images.find(self._settings.images, spec["image"])
        container = self._folder / "containers" / spec["name"]
        before = records.attempts(container)
        number = before[-1].number + 1 if before else 0
        message_file = container / str(number) / "termination"
        mounts = [*volumes.mounts(spec, folders), (spec.get("terminationMessagePath") or "/dev/termination-log", str(message_file))]
        base, fixed = {**image.env, **self._base(pod, mounts)}, self._injected(mounts, message_file)
        env = environment(spec, self._with_ip(pod), self._lookup, mounts, base, fixed)
        words = command(spec, env, mounts, image.entrypoint, image.cmd)
        cwd = rewrite(spec["workingDir"], mounts) if spec.get("workingDir") else image.working_dir
        return records.start(container, number, words, env, cwd)

    def _with_ip(self, pod: Object) -> Object:
        addresses = {"podIP": self._ip, "podIPs": [{"ip": self._ip}], "hostIP": self._settings.address}
        return {**pod, "status": {**pod.get("status", {}), **addresses}}

    def _base(self, pod: Object, mounts: Mounts) -> dict[str, str]:
        """Variables that the Pod can override."""
        tmp, home = self._folder / "tmp", self._folder / "home"
        for folder in (tmp, home):
            folder.mkdir(exist_ok=True)
        host, port = self._settings.api
        address = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port), "KUBERNETES_SERVICE_PORT_HTTPS": str(port)}
        mounted = real("/tmp", mounts)
        tmp_dir = str(tmp) if mounted == "/tmp" else mounted
        return address | {"HOSTNAME": pod["metadata"]["name"], "HOME": str(home), "TMPDIR": tmp_dir, "PANAL_TMP": tmp_dir}

    def _injected(self, mounts: Mounts, message_file: Path) -> dict[str, str]:
        """Variables by which pod tools find what a real container has at fixed addresses and paths."""
        found = {"PANAL_LOOPBACK": self._ip, "PANAL_TERMINATION_LOG": str(message_file)}
        token = real(TOKEN_DIR, mounts)
        return found if token == TOKEN_DIR else found | {"PANAL_SERVICEACCOUNT_DIR": token}

    async def _renew_tokens(self, pod: Object) -> None:
        """Renews tokens after 80 % of their lifetime, as a kubelet does."""
        metadata = pod["metadata"]
        for wanted in set(content.token_requests(pod)):
            if self._tokens.get(wanted, ("", 0.0))[1] > time.time():
                continue
            bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            audiences = [wanted.audience] if wanted.audience else []
            spec: Object = {"expirationSeconds": wanted.seconds, "boundObjectRef": bound, "audiences": audiences}
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            account = pod["spec"].get("serviceAccountName") or "default"
            try:
                answer = await self._client.post(SERVICE_ACCOUNT, metadata["namespace"], account, "token", body)
            except ApiError as error:
                raise NotReadyError("FailedMount", f"no token for the service account {account}: {error}") from error
            lasts = from_time(answer["status"]["expirationTimestamp"]).timestamp() - time.time()
            self._tokens[wanted] = (answer["status"]["token"], time.time() + 0.8 * lasts)
