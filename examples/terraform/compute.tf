data "aws_ami" "linux" {
  count = var.ami == null ? 1 : 0

  most_recent = true
  owners      = ["amazon"]

  filter {
    name   = "name"
    values = ["al2023-ami-2023.*-x86_64"]
  }
}

# Every change makes another version. This alone touches no instance: the rollout does.
resource "aws_launch_template" "web" {
  name                   = var.name
  image_id               = var.ami == null ? data.aws_ami.linux[0].id : var.ami
  instance_type          = var.instance_type
  vpc_security_group_ids = [aws_security_group.instance.id]

  user_data = base64encode(<<-EOT
    #!/bin/sh
    dnf install -y nginx
    echo "revision ${var.revision}" > /usr/share/nginx/html/index.html
    systemctl enable --now nginx
  EOT
  )

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = var.name, revision = var.revision })
  }
}

resource "aws_lb" "web" {
  name               = var.name
  load_balancer_type = "application"
  security_groups    = [aws_security_group.balancer.id]
  subnets            = aws_subnet.this[*].id
}

resource "aws_lb_target_group" "web" {
  name                 = var.name
  port                 = 80
  protocol             = "HTTP"
  vpc_id               = aws_vpc.this.id
  deregistration_delay = var.deregistration_delay

  health_check {
    path                = "/"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "web" {
  load_balancer_arn = aws_lb.web.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.web.arn
  }
}

resource "aws_autoscaling_group" "web" {
  name                = var.name
  min_size            = var.size
  max_size            = var.size * 2
  desired_capacity    = var.size
  vpc_zone_identifier = aws_subnet.this[*].id
  target_group_arns   = [aws_lb_target_group.web.arn]

  # Instances that fail the balancer's check are replaced, also when nothing is rolled.
  health_check_type         = "ELB"
  health_check_grace_period = 300

  # What the group launches first. Which version it launches from then on is for the rollout to say.
  launch_template {
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    # The AWS provider has its turn before the rollout, in the same apply. What it put back there
    # would be undone under a rollout that is paused, or was killed:
    ignore_changes = [
      # the version that the fleet runs, or goes back to when a new one fails. Without this the
      # group would launch the new version before anybody has seen it serve;
      launch_template,
      # sizes: a rollout may have raised the maximum for its additional instances. To put that back
      # while they are there makes AWS choose which instances go;
      min_size,
      max_size,
      # the size that the fleet has scaled to;
      desired_capacity,
      # and the processes that a rollout has suspended, so that nothing else replaces instances.
      suspended_processes,
    ]
  }

  # An instance is healthy only once the balancer asks it.
  depends_on = [aws_lb_listener.web]
}
