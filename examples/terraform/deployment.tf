# Rolls the fleet whenever the launch template has another version, or the fleet has come to run
# something else. Instances leave the balancer, drain, and are replaced, batch by batch; the apply
# ends when all of the new ones serve. If they do not, the fleet goes back, and the apply fails.
resource "rolling_deployment" "web" {
  policy          = "rolling"
  batch_size_type = "percentage"
  batch_size      = 34

  auto_scaling_group {
    name = aws_autoscaling_group.web.name

    # By number, not "$Latest": so one apply changes the template and rolls the fleet.
    launch_template {
      id      = aws_launch_template.web.id
      version = aws_launch_template.web.latest_version
    }
  }

  health {
    min_healthy_time = "10s"
    healthy_timeout  = "10m"
  }

  on_failure = "rollback"

  timeouts {
    update = "2h"
  }
}
