variable "region" {
  description = "Where everything is."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "The name of the fleet, and the prefix of the names of what belongs to it."
  type        = string
  default     = "web"
}

variable "revision" {
  description = "What the instances serve. Another value is another version of the launch template."
  type        = string
  default     = "1"
}

variable "ami" {
  description = "The image of the instances. Default: the latest Amazon Linux 2023."
  type        = string
  default     = null
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "size" {
  description = "How many instances the fleet has when it is made. From then on it scales by itself."
  type        = number
  default     = 6

  validation {
    condition     = var.size >= 2
    error_message = "A fleet of fewer than two instances cannot be rolled without an outage."
  }
}

variable "deregistration_delay" {
  description = "Seconds that open requests have to finish on an instance that leaves."
  type        = number
  default     = 30
}

variable "tags" {
  description = "Further tags of the instances."
  type        = map(string)
  default     = {}
}
