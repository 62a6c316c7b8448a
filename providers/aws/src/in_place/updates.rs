//! How instances are updated in place, and what is known of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use aws_sdk_ec2::types::Instance as Ec2Instance;
use rolling_provider::{InstanceId, Revision};
use tokio::sync::OnceCell;

use crate::RunCommand;

/// How instances are updated in place.
#[derive(Clone, Debug)]
pub enum InPlaceMethod {
    /// An SSM document runs on them.
    RunCommand(RunCommand),
    /// EC2 gives them a new root volume.
    ReplaceRootVolume {
        /// The image that the volume is made of.
        image_id: String,
    },
}

/// A way to update in place, and what is known of its updates so far.
#[derive(Debug)]
pub(crate) struct Updates {
    pub(super) method: InPlaceMethod,
    pub(super) wanted: OnceCell<Revision>,
    /// The commands of each update, by its token.
    #[cfg_attr(not(feature = "ssm"), expect(dead_code, reason = "nothing is sent without it"))]
    pub(super) commands: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// The token of the update that the last look showed to be running on each instance.
    pub(super) at_work: Mutex<BTreeMap<InstanceId, String>>,
}

/// What EC2 reports of an instance that matters here.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceDescription {
    pub(super) image: Option<String>,
    pub(super) revision: Option<String>,
    updating: Option<String>,
}

impl InstanceDescription {
    pub(crate) fn of(instance: &Ec2Instance) -> Self {
        let tag = |key: &str| {
            let tag = instance.tags().iter().find(|tag| tag.key() == Some(key));
            tag.and_then(|tag| tag.value()).map(str::to_owned)
        };
        let image = instance.image_id().map(str::to_owned);
        InstanceDescription { image, revision: tag(REVISION), updating: tag(UPDATING) }
    }

    /// Returns the update that the instance is marked for: its token, and the revision it leads to.
    pub(crate) fn update(&self) -> Option<(&str, Revision)> {
        let (token, to) = self.updating.as_deref()?.split_once(' ')?;
        Some((token, Revision::new(to)))
    }
}

/// Tag with the revision that an instance was last updated to.
pub(crate) const REVISION: &str = "rolling:revision";

/// Tag with the update that an instance is in: its token, a space, and the revision.
pub(crate) const UPDATING: &str = "rolling:updating";
