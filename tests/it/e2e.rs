//! The tools of others on this program: Ansible, Terraform, Pulumi, clients in other languages. They
//! are the longest, so they begin first: tests run in the order of their names.

mod ansible;
mod ansible_docs;
mod clients;
mod examples;
mod front_ends;
mod terraform;
