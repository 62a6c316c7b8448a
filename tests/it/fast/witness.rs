//! Shows that the witness notices what breaks a promise: other tests rely on its silence.

use std::sync::Arc;

use rolling::model::spec::{BatchSize, HookPoint, OnHookFailure, Policy, RollingDeployment};
use rolling_provider::{Action, Fleet as _, InstanceId};
use rolling_simulator::{FleetConfig, Intervention, Simulator};

use crate::fast::hooks::driver::hooks;
use crate::test_fleets::Witness;
use crate::world::{fleet, seconds, simulate, spec};

/// Returns a witness of four instances, of which one at a time may be replaced.
async fn witness() -> (Arc<Simulator>, Arc<Witness>) {
    let simulator = simulate(FleetConfig { instances: 4, ..fleet() });
    let witness = Witness::new(simulator.clone(), spec(Policy::Rolling(BatchSize::Fixed(1)))).await;
    (simulator, witness)
}

fn id(number: u32) -> InstanceId {
    InstanceId::new(format!("i-{number:04}"))
}

fn deregister(number: u32) -> Action {
    Action::Deregister { target_group: "web".into(), instances: [id(number)].into() }
}

fn terminate(number: u32) -> Action {
    Action::Terminate { instance: id(number), decrement: false }
}

async fn act(witness: &Witness, actions: impl IntoIterator<Item = Action>) {
    for action in actions {
        witness.act(&action).await.expect("an action");
    }
}

#[tokio::test]
async fn an_instance_that_drains_and_is_terminated_breaks_nothing() {
    let (simulator, witness) = witness().await;
    act(&witness, [deregister(1)]).await;
    simulator.clock().sleep(seconds(30)).await;
    act(&witness, [terminate(1)]).await;
    assert_eq!(witness.broken(0), Vec::<String>::new());
}

#[tokio::test]
async fn it_notices_fewer_serving_and_more_draining_than_allowed() {
    let (_, witness) = witness().await;
    act(&witness, [deregister(1)]).await;
    assert_eq!(witness.broken(0), Vec::<String>::new());
    act(&witness, [deregister(2)]).await;
    assert_eq!((witness.broken(1).len(), witness.broken(3).len()), (1, 1));
    assert!(witness.broken(1)[0].ends_with("left 2 serving of at least 3"));
}

#[tokio::test]
async fn it_notices_more_living_than_allowed_by_the_size_at_that_time() {
    let (_, witness) = witness().await;
    let grow = |size| Action::SetCapacity { desired: Some(size), max: Some(size) };
    act(&witness, [grow(5)]).await;
    witness.resized(6);
    act(&witness, [grow(6)]).await;
    let broken = witness.broken(2);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].ends_with("left 5 living of at most 4"), "{broken:?}");
}

#[tokio::test]
async fn it_notices_a_termination_before_the_drain_is_over() {
    let (_, witness) = witness().await;
    act(&witness, [deregister(1), terminate(1)]).await;
    let broken = witness.broken(5);
    assert!(broken.len() == 1 && broken[0].contains("although it is Draining"), "{broken:?}");
}

#[tokio::test]
async fn it_notices_actions_on_an_instance_that_is_to_be_ignored() {
    let (simulator, witness) = witness().await;
    simulator.intervene(Intervention::Ignore(id(2))).expect("a tag");
    act(&witness, [deregister(1), deregister(2)]).await;
    let broken = witness.broken(25);
    assert!(broken.len() == 1 && broken[0].contains("i-0002"), "{broken:?}");
}

#[tokio::test]
async fn it_notices_whoever_leaves_before_its_hook_is_over() {
    let simulator = simulate(FleetConfig { instances: 4, ..fleet() });
    let hooks = hooks(&[HookPoint::BeforeDeregister], 1, OnHookFailure::Fail);
    let spec = RollingDeployment { hooks, ..spec(Policy::Rolling(BatchSize::Fixed(1))) };
    let witness = Witness::new(simulator.clone(), spec).await;
    witness.prepared([id(1)]);
    act(&witness, [deregister(1)]).await;
    assert_eq!(witness.broken(26), Vec::<String>::new());
    act(&witness, [deregister(2)]).await;
    assert_eq!(witness.broken(26).len(), 1);
    assert!(witness.broken(26)[0].ends_with("before the hook of i-0002 is over"));
}
