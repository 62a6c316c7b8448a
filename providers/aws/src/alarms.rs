//! Reads CloudWatch alarms.

use std::collections::BTreeSet;

use rolling_provider::{Alarm, ProviderError};

use crate::connect::Aws;

const OPERATION: &str = "DescribeAlarms";
const ATTRIBUTE: &str = "gates/alarms";

impl Aws {
    /// Returns the metric and composite alarms with these names.
    #[cfg(feature = "cloudwatch")]
    pub(crate) async fn alarms(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<Vec<Alarm>, ProviderError> {
        use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

        let mut found = Vec::new();
        let wanted: Vec<String> = names.iter().cloned().collect();
        // One call takes at most 100 names.
        for names in wanted.chunks(100) {
            let call = self.cloudwatch.describe_alarms().set_alarm_names(Some(names.to_vec()));
            // By default the call returns only metric alarms.
            let call =
                call.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
            let mut pages = call.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| crate::error::from_sdk("cloudwatch", OPERATION, &e))?;
                let alarm = |name: Option<&str>, state: Option<&StateValue>, why: Option<&str>| {
                    let raised = state == Some(&StateValue::Alarm);
                    let reason = why.unwrap_or_default().to_owned();
                    Alarm { name: name.unwrap_or_default().to_owned(), raised, reason }
                };
                found.extend(page.metric_alarms().iter().map(|found| {
                    alarm(found.alarm_name(), found.state_value(), found.state_reason())
                }));
                found.extend(page.composite_alarms().iter().map(|found| {
                    alarm(found.alarm_name(), found.state_value(), found.state_reason())
                }));
            }
        }
        let is_there = |name: &String| found.iter().any(|alarm| alarm.name == *name);
        match wanted.iter().find(|name| !is_there(name)) {
            None => Ok(found),
            Some(name) => {
                let message = format!("alarm {name:?} does not exist in {}", self.region);
                let error = ProviderError::invalid(OPERATION, ATTRIBUTE, message);
                Err(error
                    .with_remedy("check the name, the region and the account of the credentials"))
            }
        }
    }

    /// Returns an error: this build has no CloudWatch.
    #[cfg(not(feature = "cloudwatch"))]
    pub(crate) async fn alarms(
        &self,
        _names: &BTreeSet<String>,
    ) -> Result<Vec<Alarm>, ProviderError> {
        let message = "this build of rolling has no CloudWatch in it";
        let error = ProviderError::invalid(OPERATION, ATTRIBUTE, message);
        Err(error.with_remedy("build it with the feature `cloudwatch`, which is on by default"))
    }
}
