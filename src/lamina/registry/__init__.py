"""Adapter: pulls from and pushes to registries. `RegistryClient` implements `ports.Registry`.

Wire it so: `session = Session(RegistrySettings(...), DockerCredentials(path))`, then `RegistryClient(session)` and
`RegistryPusher(session)`. Nothing touches the network, a file or a helper program before the first request.
"""
