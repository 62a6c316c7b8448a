# For LocalStack: copy this beside the other files. It has no accounts to ask about.
provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
