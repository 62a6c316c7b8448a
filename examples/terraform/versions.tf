terraform {
  required_version = ">= 1.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
    rolling = {
      source = "rolling/rolling"
    }
  }
}

provider "aws" {
  region = var.region

  # A rollout keeps its record on the Auto Scaling group, as tags. The AWS provider removes every
  # tag of a group that its configuration does not have, and with it what tells a later run how to
  # put things back.
  ignore_tags {
    key_prefixes = ["rolling:"]
  }
}

provider "rolling" {
  aws {
    region = var.region
  }
}
