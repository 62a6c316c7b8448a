//! What distinguishes two launch template versions, and what is known of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_autoscaling::types::AutoScalingGroup as SdkGroup;
use aws_sdk_ec2::types::{Instance as Ec2Instance, LaunchTemplateVersion};
use rolling_provider::{InstanceId, Revision};
use tokio::sync::OnceCell;

use crate::convert::parts;
use crate::mixed;

/// What is visible of a launch; `None` says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(super) image: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) user_data: Option<String>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    /// Whether the version that the group reports is in doubt.
    pub(super) is_doubted: OnceCell<bool>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The versions of one template, by number.
    pub(super) template: String,
    pub(super) versions: BTreeMap<u64, Shape>,
    /// What each instance was launched from; `None` where nothing shows it.
    pub(super) launched: BTreeMap<InstanceId, Option<Revision>>,
}

/// The versions that an instance may run, besides what it shows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CandidateVersions {
    pub(super) wanted: Option<u64>,
    /// The version that the group has now.
    pub(super) own: Option<u64>,
    pub(super) reported: Option<u64>,
}

impl Versions {
    pub(super) fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shape {
    pub(crate) fn of_instance(instance: &Ec2Instance) -> Self {
        Shape {
            image: instance.image_id().map(str::to_owned),
            kind: instance.instance_type().map(|kind| kind.as_str().to_owned()),
            user_data: None,
        }
    }

    pub(crate) fn of(version: &LaunchTemplateVersion, group: &SdkGroup) -> Self {
        let Some(data) = version.launch_template_data() else { return Shape::default() };
        let image = data.image_id().filter(|image| image.starts_with("ami-"));
        let kind = data.instance_type().map(|kind| kind.as_str().to_owned());
        Shape {
            // The group's policy may set other ones, whatever the version.
            image: image.filter(|_| mixed::images(group).is_empty()).map(str::to_owned),
            kind: kind.filter(|_| !mixed::has_types(group)),
            user_data: Some(data.user_data().unwrap_or_default().to_owned()),
        }
    }

    fn fits(&self, other: &Shape) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same(&self.image, &other.image)
            && same(&self.kind, &other.kind)
            && same(&self.user_data, &other.user_data)
    }
}

/// Returns the version that a launch of this shape is from; `None` where nothing shows it.
pub(super) fn decide(
    shape: &Shape,
    versions: &BTreeMap<u64, Shape>,
    known: CandidateVersions,
) -> Option<u64> {
    let fits = |number: u64| versions.get(&number).is_some_and(|version| version.fits(shape));
    let mut all = versions.keys().copied().filter(|number| fits(*number));
    let (first, second) = (all.next()?, all.next());
    if second.is_none() {
        return Some(first);
    }
    // Whether an instance runs the wanted version is the question itself, so it is never guessed.
    if known.wanted.is_some_and(fits) {
        return None;
    }
    let likely = [known.own, known.reported];
    likely.into_iter().flatten().find(|number| fits(*number)).or(Some(first))
}

/// Returns the other versions that nothing distinguishes from `wanted`.
pub(super) fn same_shape(wanted: u64, versions: &BTreeMap<u64, Shape>) -> Vec<u64> {
    let Some(shape) = versions.get(&wanted) else { return Vec::new() };
    let others = versions.iter().filter(|(number, _)| **number != wanted);
    others.filter(|(_, other)| other.fits(shape)).map(|(number, _)| *number).collect()
}

/// Returns the number of a revision that is a version of `template`.
pub(super) fn number(revision: &Revision, template: &str) -> Option<u64> {
    let (of, number) = parts(revision)?;
    number.parse().ok().filter(|_| of == template)
}
