//! Identifiers. They are opaque strings: only the adapter that created one may look inside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Wraps the cloud's own spelling.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into().into())
            }

            /// Returns the cloud's own spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self::new(id)
            }
        }
    };
}

id! {
    /// One instance, for instance `i-0abc`.
    InstanceId
}
id! {
    /// A target group; on AWS its ARN.
    TargetGroupId
}
id! {
    /// What an instance runs; on AWS `LAUNCH_TEMPLATE_ID:NUMERIC_VERSION`. A group's own template
    /// may also carry an alias (`lt-0abc:$Latest`), which is resolved to the version that it names.
    Revision
}
