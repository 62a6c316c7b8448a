"""Rolls a simulated fleet to the revision in the stack's configuration."""

import pulumi
from rolling_deployment import RollingDeployment, RollingDeploymentProvider

revision = pulumi.Config().get("revision") or "v2"

web = RollingDeployment(
    "web",
    {
        "policy": "rolling",
        "batch_size_type": "percentage",
        "batch_size": 30,
        # Of a real fleet: "auto_scaling_group": {"name": group.name, "launch_template":
        # {"id": template.id, "version": template.latest_version.apply(str)}}
        "simulated_fleet": {
            "name": "web",
            "revision": revision,
            "bad_revisions": {"v3": "unhealthy"},
        },
    },
    provider=RollingDeploymentProvider({"simulator": {"speed": 200}}),
)

pulumi.export("status", web.status)
pulumi.export("revision", web.deployed_revision)
