//! Many instances, many rollouts: how many calls they make, and what happens when AWS throttles
//! them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::report;
use crate::process;

#[test]
fn fifty_rollouts_at_once_on_one_account_share_what_it_may_call() {
    const ROLLOUTS: usize = 50;
    let Some(account) = account() else { return };
    let made = make_groups(&account, ROLLOUTS);
    account.shared();
    account.put("faults", json!([{ "kind": "rate", "per_second": 8 }]));

    let mut lines = vec![
        json!({ "jsonrpc": "2.0", "id": "begin", "method": "initialize",
            "params": { "protocol_versions": [1] } }),
        json!({ "jsonrpc": "2.0", "id": "configure", "method": "provider.configure",
            "params": { "config": { "aws": {} } } }),
    ];
    lines.extend(made.iter().enumerate().map(|(number, (name, template))| {
        let config = json!({
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
            "health": { "min_healthy_time": "0s" },
            "auto_scaling_group": {
                "name": name, "launch_template": { "id": template, "version": "2" },
            },
        });
        json!({ "jsonrpc": "2.0", "id": number, "method": "resource.apply",
            "params": { "type": "rolling_deployment", "config": config } })
    }));
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ran = process::run_with(account.rolling().arg("serve"), &input);
    let answers = ran.lines();
    for number in 0..ROLLOUTS {
        let answer = answers.iter().find(|line| line["id"] == number).expect("an answer");
        assert_eq!(answer["result"]["status"], "succeeded", "{answer}");
    }

    // The program slowed down: few calls were refused.
    let calls = account.calls();
    let refused = calls.iter().filter(|call| call["fault"] == "rate").count();
    let share = refused * 100 / calls.len();
    eprintln!("{} calls, {refused} of them throttled ({share} percent)", calls.len());
    assert!(refused > 0, "the account's limit was never reached");
    assert!(share <= 25, "{refused} of {} calls were throttled", calls.len());
}

/// Makes groups of two, each behind a target group of its own. Returns their names and templates.
fn make_groups(account: &Account, count: usize) -> Vec<(String, String)> {
    let times = json!({ "boot": 1.0, "register": 0.5, "drain": 0.5 });
    let names: Vec<String> = (0..count).map(|number| format!("web-{number}")).collect();
    let made = std::thread::scope(|scope| {
        let lanes: Vec<_> = names
            .chunks(count.div_ceil(4))
            .map(|names| {
                let times = &times;
                scope.spawn(move || {
                    let make = |name: &String| {
                        let fleet = json!({ "name": name, "size": 2, "max": 3 });
                        (name.clone(), account.fleet(fleet, times.clone()))
                    };
                    names.iter().map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("groups")).collect::<Vec<_>>()
    });
    let distinct: BTreeSet<&String> = made.iter().map(|(_, template)| template).collect();
    assert_eq!(distinct.len(), count);
    made
}

#[test]
fn five_hundred_instances_take_few_calls() {
    const INSTANCES: u64 = 500;
    let Some(account) = account() else { return };
    let none = json!({ "boot": 0, "register": 0, "drain": 0, "terminate": 0 });
    let template = account.fleet(json!({ "name": "web", "size": INSTANCES }), none);
    let resource: Value = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 50,
        "health": { "min_healthy_time": "0s" },
        "auto_scaling_group": {
            "name": "web", "launch_template": { "id": template, "version": "2" },
        },
    });
    let ran = account.run("apply", &resource);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ticks = report(&ran)["ticks"].as_u64().expect("ticks");
    let calls = account.calls().len() as u64;
    let most = 3 * (INSTANCES + ticks);
    eprintln!("{calls} calls in {ticks} looks, at most {most}");
    assert!(calls <= most, "{calls} calls in {ticks} looks, at most {most}");
}
