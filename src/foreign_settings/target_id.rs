//! What a document is to be for, as `--target` names it: the ids that an import takes.

use crate::document::config::{TARGET_KINDS, TargetKind};

/// A target by its id: `auto_scaling_group/web`, `kubernetes_deployment/shop/web`.
#[derive(Clone, Debug)]
pub(crate) struct TargetId {
    /// Its kind.
    pub(super) kind: &'static TargetKind,
    /// Its name, behind its namespace where it has one.
    names: Vec<String>,
}

impl TargetId {
    /// Reads an id.
    ///
    /// # Errors
    /// Says which ids there are.
    pub(crate) fn parse(id: &str) -> Result<Self, String> {
        let id = match arn(id) {
            Some((kind, name)) => format!("{kind}/{name}"),
            None => id.to_owned(),
        };
        let known = TARGET_KINDS.iter().find_map(|kind| {
            let name = id.strip_prefix(kind.attribute)?.strip_prefix('/')?;
            let names: Vec<String> = match kind.names {
                [_] => vec![name.to_owned()],
                all => name.splitn(all.len(), '/').map(str::to_owned).collect(),
            };
            names.iter().all(|name| !name.is_empty()).then_some(Self { kind, names })
        });
        known.ok_or_else(|| {
            let forms: Vec<String> = TARGET_KINDS.iter().map(form).collect();
            format!("it names no target: write {}", forms.join(", "))
        })
    }

    /// Returns the part of its name that stands at `place`, one of its kind's.
    pub(super) fn name_at(&self, place: &str) -> Option<&str> {
        // A namespace may be left out, never the name.
        let places = self.kind.names.iter().rev();
        let mut named = places.zip(self.names.iter().rev());
        named.find_map(|(known, name)| (*known == place).then_some(name.as_str()))
    }
}

/// Returns how an id of `kind` is written.
fn form(kind: &TargetKind) -> String {
    let names = kind.names.iter().filter_map(|place| place.rsplit('/').next());
    let names: Vec<String> = names.map(str::to_uppercase).collect();
    format!("{}/{}", kind.attribute, names.join("/"))
}

/// Returns the kind and the name of what an ARN names.
fn arn(id: &str) -> Option<(&'static str, &str)> {
    let (before, name) = id.split_once('/').filter(|_| id.starts_with("arn:"))?;
    match before.rsplit(':').next()? {
        "targetgroup" => Some(("target_group", id)),
        "autoScalingGroupName" => Some(("auto_scaling_group", name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123";

    fn parts(id: &str) -> Vec<String> {
        let id = TargetId::parse(id).expect("a target");
        let names = id.kind.names.iter().filter_map(|place| id.name_at(place));
        std::iter::once(id.kind.attribute).chain(names).map(str::to_owned).collect()
    }

    #[test]
    fn an_id_is_that_of_an_import() {
        assert_eq!(parts("auto_scaling_group/a/b"), ["auto_scaling_group", "a/b"]);
        assert_eq!(parts(ARN), ["target_group", ARN]);
        assert_eq!(parts(&format!("target_group/{ARN}")), ["target_group", ARN]);
        let group = "arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:u:autoScalingGroupName/web";
        assert_eq!(parts(group), ["auto_scaling_group", "web"]);
        assert_eq!(
            parts("kubernetes_deployment/shop/web"),
            ["kubernetes_deployment", "shop", "web"]
        );
        assert_eq!(parts("kubernetes_stateful_set/db"), ["kubernetes_stateful_set", "db"]);
        for id in ["", "web", "group/web", "simulated_fleet/", "kubernetes_deployment//web"] {
            let refused = TargetId::parse(id).expect_err("no target");
            assert!(refused.contains("kubernetes_deployment/NAMESPACE/NAME"), "{refused}");
        }
    }
}
