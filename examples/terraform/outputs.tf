output "url" {
  description = "Where the fleet serves."
  value       = "http://${aws_lb.web.dns_name}/"
}

output "deployed_revision" {
  description = "The launch template version that every instance runs; null while they differ."
  value       = rolling_deployment.web.deployed_revision
}

output "status" {
  description = "How the last rollout ended."
  value       = rolling_deployment.web.status
}
