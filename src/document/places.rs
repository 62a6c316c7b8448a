//! Places in a document, as JSON Pointers.

use serde_json::Value;

/// The place of the provider's configuration in a document.
pub const PROVIDER: &str = "/provider/rolling";

/// The places of a target's name; a deployment has one of them.
pub const TARGETS: [&str; 3] =
    ["/auto_scaling_group/name", "/target_group/arn", "/simulated_fleet/name"];

/// Returns the place of the launch template of a deployment, where it has one.
pub fn launch_template(config: &Value) -> Option<&'static str> {
    let places = ["/auto_scaling_group/launch_template", "/target_group/launch_template"];
    places.into_iter().find(|place| config.pointer(place).is_some_and(|found| !found.is_null()))
}
